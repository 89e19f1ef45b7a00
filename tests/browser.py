"""What a headless Chromium makes of a page: it is asked over its DevTools protocol, and nothing is installed."""

import asyncio
import base64
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import aiohttp
import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PHONE = 600  # pixels; a narrower window is taken for a phone's, which heeds the page's meta viewport
PATIENCE = 30  # seconds
LOOK = """(async () => {
  const pictures = [...document.images];
  await Promise.all(pictures.map(picture => picture.decode().catch(() => null)));
  return {
    pictures: pictures.length,
    broken: pictures.filter(picture => picture.naturalWidth === 0).map(picture => picture.alt),
    width: document.documentElement.scrollWidth,
    background: getComputedStyle(document.body).backgroundColor,
  };
})()"""


@dataclass(frozen=True)
class Seen:
    """What the browser saw of a page.

    `messages`: errors and whatever the console said; `requests`: addresses asked for beside the file itself and what it
    holds within; `pictures`: how many there are; `broken`: the alternative texts of those that did not load; `width`:
    pixels that the page takes, above the window's where it must be scrolled sideways; `background`: CSS colour of the
    body; `screenshot`: PNG of the window.
    """

    messages: list[str]
    requests: list[str]
    pictures: int
    broken: list[str]
    width: int
    background: str
    screenshot: bytes


class Browser:
    """A running browser; `open` looks at one page in a window of its own."""

    def __init__(self, port: int) -> None:
        self.port = port

    def open(
        self,
        path: Path,
        width: int,
        height: int = 900,
        *,
        media: Literal["screen", "print"] = "screen",
        dark: bool = False,
    ) -> Seen:
        """Return what is seen of the file in a window of that size, on a screen or as printed."""
        return asyncio.run(asyncio.wait_for(self._look(path.resolve().as_uri(), width, height, media, dark), PATIENCE))

    async def _look(self, address: str, width: int, height: int, media: str, dark: bool) -> Seen:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{self.port}") as session:
            async with session.put("/json/new?about:blank") as answer:
                window = await answer.json(content_type=None)
            async with session.ws_connect(window["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                talk = _Talk(socket)
                for domain in ("Page", "Runtime", "Network", "Log"):
                    await talk.ask(f"{domain}.enable")
                screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < PHONE}
                await talk.ask("Emulation.setDeviceMetricsOverride", **screen)
                scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
                await talk.ask("Emulation.setEmulatedMedia", media=media, features=[scheme])
                await talk.ask("Page.navigate", url=address)
                await talk.wait("Page.loadEventFired")
                looked = await talk.ask("Runtime.evaluate", expression=LOOK, awaitPromise=True, returnByValue=True)
                shot = await talk.ask("Page.captureScreenshot")
            await session.get(f"/json/close/{window['id']}")
        return Seen(
            messages=list(_messages(talk.events)),
            requests=list(_requests(talk.events, address)),
            screenshot=base64.b64decode(shot["data"]),
            **looked["result"]["value"],
        )


class _Talk:
    """Questions to one window, and the events that came between the answers."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.asked = 0
        self.events: list[dict[str, Any]] = []

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        self.asked += 1
        await self.socket.send_json({"id": self.asked, "method": method, "params": params})
        while (message := await self._next()).get("id") != self.asked:
            pass
        assert "error" not in message, message
        return message["result"]

    async def wait(self, event: str) -> None:
        while not any(known["method"] == event for known in self.events):
            await self._next()

    async def _next(self) -> dict[str, Any]:
        message = json.loads(await self.socket.receive_str())
        if "method" in message:
            self.events.append(message)
        return message


def _messages(events: list[dict[str, Any]]) -> Iterator[str]:
    for event in events:
        match event["method"]:
            case "Runtime.consoleAPICalled":
                yield " ".join(str(value.get("value", value.get("description"))) for value in event["params"]["args"])
            case "Runtime.exceptionThrown":
                yield event["params"]["exceptionDetails"]["text"]
            case "Log.entryAdded":
                yield event["params"]["entry"]["text"]


def _requests(events: list[dict[str, Any]], address: str) -> Iterator[str]:
    for event in events:
        if event["method"] == "Network.requestWillBeSent":
            url = event["params"]["request"]["url"].partition("#")[0]
            if url != address and not url.startswith(("data:", "blob:")):
                yield url


@contextmanager
def browser() -> Iterator[Browser]:
    """Run a browser; the test is skipped where there is none."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(PROGRAMS)} is installed")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # The sandbox needs rights that containers do not give, and pages of these tests are our own.
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        # What the browser would fetch for itself is not the page's.
        options += ["--disable-background-networking", "--disable-component-update", "--hide-scrollbars"]
        command = [program, *options, "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield Browser(_port(Path(profile, "DevToolsActivePort"), process))
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _port(file: Path, process: subprocess.Popen[bytes]) -> int:
    """Return the port that the browser listens on, which it writes down when it is ready."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        if file.exists() and (lines := file.read_text().splitlines()):
            return int(lines[0])
        time.sleep(0.05)
    raise AssertionError("the browser did not start")
