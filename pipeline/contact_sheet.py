"""A contact sheet: one frame of each of a few videos, spread over methods and labels, on one picture."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, groupby, zip_longest
from pathlib import Path

import cv2
import numpy as np

from pipeline import decoding, images, video
from pipeline.engines import Run, twice
from pipeline.files import sha256_of_text
from pipeline.progress import track
from pipeline.recognition import Row
from pipeline.tables import FAKE

PICTURES = 48
COLUMNS = 8
WIDTH, HEIGHT = 200, 150  # of a picture, pixels
LINE = 16  # height of a line of text, pixels; a caption has two
MARGIN = 4
CELL = (HEIGHT + 2 * LINE + 2 * MARGIN, WIDTH + 2 * MARGIN)  # height, width
GREY, BLACK = (160, 160, 160), (0, 0, 0)
FONT, TEXT_SIZE = cv2.FONT_HERSHEY_SIMPLEX, 0.4


@dataclass(frozen=True)
class Still:
    """One frame to decode: the image at `path`, which has this hash, or the frame at `pts` of the video there."""

    path: str
    image_sha256: str | None
    pts: int
    key_pts: tuple[int, ...]


def contact_sheet(rows: list[Row], root: Path, run: Run) -> bytes:
    """Return a JPEG with the middle frame of each of up to 48 usable videos; an empty cell where there is none.

    `rows` are rows of tables.VIDEOS, with files below `root`; `run` is an engine of pipeline.engines. Videos are chosen
    by a hash of their key, methods and labels in turn. Each method (and label) starts a new row of cells. A cell is
    grey and says why where the frame could not be decoded.
    """
    chosen = choose(rows)
    still_of = {row["video"]: _still(row, root) for row in chosen}
    picture_of = dict(track(twice(run), decode, list(still_of.values()), "sheet", "picture"))
    bands = [[_cell(row, picture_of[still_of[row["video"]]]) for row in part] for _, part in groupby(chosen, key=_kind)]
    columns = min(COLUMNS, max(map(len, bands), default=1))
    lines = [line for band in bands for line in _lines(band, columns)]
    sheet = np.vstack(lines or [np.full((*CELL, 3), 255, np.uint8)])
    return bytes(cv2.imencode(".jpg", sheet, [cv2.IMWRITE_JPEG_QUALITY, 90])[1])


def choose(rows: list[Row]) -> list[Row]:
    """Return up to 48 usable rows, reals first, by method: the first of each in hash order, then the second, ..."""
    usable = [row for row in rows if row["status"] == "ok"]
    mixed = sorted(usable, key=lambda row: (_kind(row), sha256_of_text("sheet", row["video"])))
    turns = zip_longest(*[list(part) for _, part in groupby(mixed, key=_kind)])
    chosen = [row for row in chain.from_iterable(turns) if row is not None][:PICTURES]
    return sorted(chosen, key=_kind)


def _kind(row: Row) -> tuple[int, str]:
    return row["label"], row["method"]


def _still(row: Row, root: Path) -> Still:
    middle = row["frames"] // 2
    if row["media"] == "images":
        return Still(str(root / row["images"][middle]), row["image_sha256"][middle], 0, ())
    keys = tuple(int(row["pts"][index]) for index in row["key_frames"])
    return Still(str(root / row["path"]), None, int(row["pts"][middle]), keys)


def decode(still: Still) -> np.ndarray | str:
    """Return the frame as RGB uint8, scaled to fit its cell, or the reason why there is none (runs in a worker)."""
    path = Path(still.path)
    try:
        if still.image_sha256 is not None:
            picture, reason = next(images.decode([path], [still.image_sha256]))
        else:
            _, picture, reason = next(decoding.decode(path, [still.pts], list(still.key_pts)))
    except video.VideoError as error:
        return error.reason
    except OSError as error:
        return error.strerror or "unreadable"
    return reason if picture is None else _fit(picture)


def _fit(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    scale = min(WIDTH / width, HEIGHT / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)


def _cell(row: Row, picture: np.ndarray | str | Exception) -> np.ndarray:
    """Return a cell as BGR: the picture in the middle of its place, method and label below, then the name."""
    cell = np.full((*CELL, 3), 255, np.uint8)
    if isinstance(picture, np.ndarray):
        height, width = picture.shape[:2]
        top, left = MARGIN + (HEIGHT - height) // 2, MARGIN + (WIDTH - width) // 2
        cell[top : top + height, left : left + width] = picture[..., ::-1]
    else:
        cell[MARGIN : MARGIN + HEIGHT, MARGIN : MARGIN + WIDTH] = GREY
        reason = picture if isinstance(picture, str) else f"died: {type(picture).__name__}"
        _write(cell, reason, MARGIN + HEIGHT // 2)
    _write(cell, f"{'fake' if row['label'] == FAKE else 'real'} {row['method']}", MARGIN + HEIGHT + LINE - 4)
    _write(cell, row["name"], MARGIN + HEIGHT + 2 * LINE - 4)
    return cell


def _write(cell: np.ndarray, text: str, baseline: int) -> None:
    """Write a line of text into a cell; of what is too long only the end; what is not ASCII becomes a question mark."""
    text = "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in text)
    cut = text
    while cv2.getTextSize(cut, FONT, TEXT_SIZE, 1)[0][0] > WIDTH:
        text = text[1:]
        cut = f"...{text}"
    cv2.putText(cell, cut, (MARGIN, baseline), FONT, TEXT_SIZE, BLACK, 1, cv2.LINE_AA)


def _lines(cells: list[np.ndarray], columns: int) -> Iterator[np.ndarray]:
    """Yield rows of `columns` cells, the last filled up with white."""
    blank = np.full((*CELL, 3), 255, np.uint8)
    for start in range(0, len(cells), columns):
        line = cells[start : start + columns]
        yield np.hstack([*line, *[blank] * (columns - len(line))])
