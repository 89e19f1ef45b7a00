"""What this machine is: read from the environment, never from params.yaml, because it must not change a lock.

| variable | meaning | default |
|---|---|---|
| VERIFRAME_WORKERS | processes for video work | the processor cores this process may use |
| VERIFRAME_CACHE | folder of the work cache (disposable) | .cache/veriframe; ~/.cache/veriframe outside a project |
"""

import os
from pathlib import Path

from pipeline.errors import UserError


def workers() -> int:
    """Return how many worker processes to use, at least 1."""
    asked = os.environ.get("VERIFRAME_WORKERS")
    if asked is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not asked.isdecimal() or int(asked) < 1:
        raise UserError(f"VERIFRAME_WORKERS must be a whole number of at least 1, not {asked!r}")
    return int(asked)


def cache_folder() -> Path:
    """Return the folder of the work cache; removing it costs time and changes no result.

    Outside a project it is the user's own: a command run inside a raw tree must not write there.
    """
    if "VERIFRAME_CACHE" in os.environ:
        return Path(os.environ["VERIFRAME_CACHE"])
    inside = Path(".cache") if Path("params.yaml").is_file() else _user_cache()
    return inside / "veriframe"


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
