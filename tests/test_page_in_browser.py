"""The report and the comparison of two runs as a browser shows them: whole, on their own, on a desk and on a phone."""

import os
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from browser import PHONE, Browser, browser
from fabricated_project import write_dataset, write_project
from pipeline.reporting.report import render
from pipeline.reporting.run import read_run
from pipeline.reporting.source import Workspace
from stages import audit

WIDTHS = (1280, 390)
PAGES = ("report", "comparison")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as running:
        yield running


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[dict[str, Path]]:
    """The pages of a made-up project: of one run, and of it beside a better one."""
    project = tmp_path_factory.mktemp("project")
    before = Path.cwd()
    os.chdir(project)
    try:
        write_project(project, ["one", "two"], groups=20)
        audit.main()
        first = read_run(Workspace())
        write_dataset(project / "data", "one", 20, skill=4)
        second = replace(read_run(Workspace()), name="better")
        written = {}
        for name, runs in zip(PAGES, ([first], [first, second]), strict=True):
            written[name] = project / f"{name}.html"
            written[name].write_text(render(runs, "html"), encoding="utf-8")
        yield written
    finally:
        os.chdir(before)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_whole_and_stays_on_its_own(chromium: Browser, pages: dict[str, Path], page: str, width: int) -> None:
    seen = chromium.open(pages[page], width)
    assert seen.messages == []
    assert seen.requests == []
    assert seen.pictures > 0 and seen.broken == []
    assert seen.width <= width, "the page must be scrolled sideways"
    assert drawn(seen.screenshot)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_dark_at_night_and_light_on_paper(chromium: Browser, pages: dict[str, Path], page: str) -> None:
    night = chromium.open(pages[page], 1280, dark=True)
    paper = chromium.open(pages[page], 1280, media="print")
    assert brightness(night.screenshot) < 100 < 200 < brightness(paper.screenshot)
    for seen in (night, paper):
        assert seen.messages == seen.requests == seen.broken == [] and drawn(seen.screenshot)


def test_the_browser_sees_what_is_wrong(chromium: Browser, tmp_path: Path) -> None:
    """Else the tests above would say nothing."""
    (tmp_path / "empty.html").write_text("<title>Empty</title>")
    (tmp_path / "page.html").write_text(
        '<title>Wrong</title><meta name="viewport" content="width=device-width"><div style="width: 900px">wide</div>'
        '<img src="gone.png" alt="gone"><img src="data:image/png;base64,AAAA" alt="rotten">'
        '<script>console.log("said"); throw Error("thrown")</script>'
    )
    seen = chromium.open(tmp_path / "page.html", PHONE - 200)
    assert seen.requests == [(tmp_path / "gone.png").as_uri()]
    assert seen.pictures == 2 and seen.broken == ["gone", "rotten"]
    assert seen.width >= 900
    assert "said" in seen.messages and any("Uncaught" in message for message in seen.messages)
    assert not drawn(chromium.open(tmp_path / "empty.html", 200).screenshot)


def pixels(screenshot: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(screenshot)).convert("L"))


def drawn(screenshot: bytes) -> bool:
    """Return whether the window shows more than its background."""
    return float(pixels(screenshot).std()) > 5


def brightness(screenshot: bytes) -> float:
    """Return the brightness of the background, 0 to 255: most of a page is that."""
    return float(np.median(pixels(screenshot)))
