"""What this machine is: read from the environment, never from params.yaml, because it must not change a lock.

| variable | meaning | default |
|---|---|---|
| VERIFRAME_WORKERS | processes for video work | the cores this process may use; with Ray those of the cluster |
| VERIFRAME_CACHE | folder of the work cache (disposable) | .cache/veriframe; ~/.cache/veriframe outside a project |
| VERIFRAME_ENGINE | what runs the video work: local or ray (docs/cluster.md) | local: processes of this machine |
| VERIFRAME_DEVICE | what networks compute on: cpu, cuda or auto | auto: cuda where torch sees a GPU |
"""

import ctypes
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


def engine() -> str:
    """Return what runs the video work, local or ray: see pipeline.engines."""
    return _one_of("VERIFRAME_ENGINE", ["local", "ray"])


def device() -> str:
    """Return what networks compute on, cpu or cuda; imports torch only where there may be a GPU.

    Raises UserError when cuda is asked for and torch sees none.
    """
    asked = _one_of("VERIFRAME_DEVICE", ["auto", "cpu", "cuda"])
    if asked == "cpu" or (asked == "auto" and not _has_gpu_driver()):
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if asked == "cuda":
        raise UserError("VERIFRAME_DEVICE=cuda, but torch sees no GPU here; auto takes one where there is one")
    return "cpu"


def _has_gpu_driver() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def _one_of(variable: str, known: list[str]) -> str:
    """Return what an environment variable says; the first of `known` where it is not set."""
    asked = os.environ.get(variable, known[0])
    if asked not in known:
        raise UserError(f"{variable} must be one of {', '.join(known)}, not {asked!r}")
    return asked


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
