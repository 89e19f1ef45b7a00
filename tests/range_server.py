"""A web server on loopback for a project's DVC remote: serves byte ranges, or none, and counts what it sent."""

import functools
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from project import run


class _Ranges(http.server.SimpleHTTPRequestHandler):
    """Serves files, or the range asked for if it knows ranges, and keeps count of the bytes of content."""

    sent: list[int]
    ranges: bool

    def do_GET(self) -> None:
        content = Path(self.translate_path(self.path)).read_bytes()
        asked = self.headers["Range"] if self.ranges else None
        if asked:
            first, last = asked.removeprefix("bytes=").split("-")
            content = content[int(first) : int(last) + 1]
        self.sent.append(len(content))
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(folder: Path, handler: type[http.server.SimpleHTTPRequestHandler]) -> Iterator[str]:
    """Serve `folder` on loopback; yield the URL."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def counting(folder: Path, *, ranges: bool = True) -> Iterator[tuple[str, list[int]]]:
    """Serve `folder`, by ranges or only whole files; yield the URL and the sizes of what was sent."""
    sent: list[int] = []
    with serving(folder, type("Counting", (_Ranges,), {"sent": sent, "ranges": ranges})) as url:
        yield url, sent


def use_remote(project: Path, url: str) -> None:
    """Make `url` the default remote, in this clone alone."""
    run(project, "dvc", "remote", "add", "--local", "--force", "--default", "store", url)
