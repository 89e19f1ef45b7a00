"""What the work cache holds, and the removal of what was not used for long. This is `veriframe cache`.

Only files of the exact form that this project writes are ever removed: VERIFRAME_CACHE may name a folder that holds
other things as well.
"""

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from stat import S_ISREG
from typing import Any

from pipeline import disks
from pipeline.errors import UserError
from pipeline.wording import in_words

PARTS = {
    "extract": "faces and crops of videos",
    "index": "facts of raw files",
    "train": "epochs of trainings that have not ended",
}

# The files that may be removed, below the folder of their part: whole ones, and those that a killed run left half
# written (files.whole_or_absent). The facts of index are none: one small database for all, which notes no uses.
HASH = "[0-9a-f]{64}"
REMOVABLE = {
    part: re.compile(f"{folder}/(?:{name}|\\.{name}\\.[0-9a-f]+\\.part)")
    for part, folder, name in (
        ("extract", f"[0-9a-f]{{2}}/{HASH}", f"{HASH}\\.(?:json|crops)"),
        ("train", HASH, "state\\.pt"),
    )
}

FOLDER = re.compile(f"[0-9a-f]{{2}}|(?:[0-9a-f]{{2}}/)?{HASH}")

DAY_S = 24 * 3600
MOST_DAYS = 36500

Report = dict[str, Any]


def look(folder: Path) -> Report:
    """Return what the work cache `folder` holds.

    The report holds `path`, `parts` (for each of PARTS: files, bytes, oldest_use and newest_use, ISO 8601 in UTC or
    None where there is no file), `files`, `bytes` and `free_bytes` (of its disk).
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"the work cache {folder} is no folder; VERIFRAME_CACHE may name another")
    parts = {part: _held(folder / part) for part in PARTS}
    return {
        "path": str(folder),
        "parts": parts,
        "files": sum(part["files"] for part in parts.values()),
        "bytes": sum(part["bytes"] for part in parts.values()),
        "free_bytes": shutil.disk_usage(disks.existing(folder)).free,
    }


def _held(folder: Path) -> Report:
    found = [(state.st_size, _last_use(path, state)) for path, state in _files(folder)]
    uses = [use for _, use in found]
    return {
        "files": len(found),
        "bytes": sum(size for size, _ in found),
        "oldest_use": _in_utc(min(uses)) if uses else None,
        "newest_use": _in_utc(max(uses)) if uses else None,
    }


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the files below `folder` with their states; what goes meanwhile, another process may have taken away."""

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise UserError(f"{error.filename}: {error.strerror}; give the right to read it")

    for parent, _, names in os.walk(folder, onerror=refuse):
        for name in sorted(names, reverse=True):  # an answer's .json before its .crops
            path = Path(parent, name)
            with suppress(FileNotFoundError):
                state = path.lstat()
                if S_ISREG(state.st_mode):
                    yield path, state


def _last_use(path: Path, state: os.stat_result) -> float:
    """Return when a file was used, seconds since 1970: the time of an answer's .json, renewed at each use."""
    if path.suffix == ".crops":
        with suppress(FileNotFoundError):
            return path.with_suffix(".json").stat().st_mtime
    return state.st_mtime


def _in_utc(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="seconds")


# --- prune -----------------------------------------------------------------------------------------------------------


def prune(folder: Path, days: int) -> Report:
    """Remove from the work cache `folder` what was not used for `days` days; 0: everything that may be removed.

    Returns `days`, and how many `files` and `bytes` were freed. Raises UserError for what may not be removed.
    """
    limit = time.time() - days * DAY_S
    files = freed = 0
    for part, form in REMOVABLE.items():
        for path, state in _files(folder / part):
            of_ours = form.fullmatch(path.relative_to(folder / part).as_posix())
            if of_ours and _last_use(path, state) <= limit and _removed(path):
                files += 1
                freed += state.st_size
        _drop_empty_folders(folder / part)
    return {"days": days, "files": files, "bytes": freed}


def _removed(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise UserError(f"{path} cannot be removed: {error.strerror}") from None
    return True


def _drop_empty_folders(top: Path) -> None:
    for folder, _, _ in os.walk(top, topdown=False):
        if FOLDER.fullmatch(Path(folder).relative_to(top).as_posix()):
            with suppress(OSError):  # not empty, or gone
                Path(folder).rmdir()


# --- in words --------------------------------------------------------------------------------------------------------


def describe(report: Report) -> str:
    """Return the report of `look`, with `pruned` of `prune` if there is one, as text for people."""
    free = f"{in_words(report['free_bytes'])} free on its disk"
    lines = [f"{report['path']}: {_in_words(report)}; {free}"]
    width = max(map(len, PARTS.values()))
    for part, held in report["parts"].items():
        lines.append(f"  {part:8}{PARTS[part]:{width + 2}}{_in_words(held):>26}  {_ages(held)}".rstrip())
    if pruned := report.get("pruned"):
        age = f", not used for {pruned['days']} days" if pruned["days"] else ""
        lines.append(f"removed: {_in_words(pruned)}{age}; the facts of raw files stay")
    return "\n".join(lines)


def _in_words(held: Report) -> str:
    return f"{held['files']:,} {'file' if held['files'] == 1 else 'files'}, {in_words(held['bytes'])}"


def _ages(held: Report) -> str:
    if held["files"] == 0:
        return ""
    now = datetime.now(UTC)
    newest, oldest = [(now - datetime.fromisoformat(held[use])).days for use in ("newest_use", "oldest_use")]
    if newest < oldest:
        return f"last used {newest} to {oldest} days ago"
    return f"last used {oldest} {'day' if oldest == 1 else 'days'} ago"
