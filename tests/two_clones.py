"""Build the data twice from fresh clones, with 1 and with 2 workers, and compare with each other and with dvc.lock.

Run it with the project's Python: `.venv/bin/python tests/two_clones.py`. Exit code 1 and a list of stages when a byte
differs. Stages after `shard` train a network; their bytes are not promised.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parent.parent
DATA_STAGES = ("synthesize", "index", "split", "sample", "flatten", "reduce", "extract", "check", "shard")


def main() -> None:
    """Build, compare, report."""
    if "dvc.lock" not in _git("ls-tree", "--name-only", "HEAD").split():
        sys.exit("error: HEAD holds no dvc.lock to compare with; run `make repro` and commit it")
    committed = _outputs(_git("show", "HEAD:dvc.lock"))
    with tempfile.TemporaryDirectory() as folder:
        built = {workers: _build(Path(folder) / f"workers_{workers}", workers) for workers in (1, 2)}
    differing = sorted(
        stage for stage in committed | built[1] | built[2] if not _same(stage, committed, *built.values())
    )
    print(f"compared {len(committed)} stages of the committed dvc.lock with two fresh builds (1 and 2 workers)")
    for stage in differing:
        print(f"  {stage}: committed {committed.get(stage)}, 1 worker {built[1].get(stage)}, 2 {built[2].get(stage)}")
    if differing or not committed:
        sys.exit("error: the builds differ" if differing else "error: the committed dvc.lock holds no data stage")
    print("all the same")


def _same(stage: str, *locks: dict[str, list[str]]) -> bool:
    return len({tuple(lock.get(stage, ())) for lock in locks}) == 1


def _build(clone: Path, workers: int) -> dict[str, list[str]]:
    """Clone HEAD, run the data stages without any cache, and return what its dvc.lock says."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    dvc = Path(sys.executable).with_name("dvc")
    own = {"VERIFRAME_CACHE": str(clone / ".cache/veriframe"), "DVC_SITE_CACHE_DIR": str(clone / ".cache/dvc-site")}
    environment = os.environ | own | {"VERIFRAME_WORKERS": str(workers)}
    subprocess.run([str(dvc), "repro", "--quiet", "shard"], cwd=clone, env=environment, check=True)
    return _outputs((clone / "dvc.lock").read_text())


def _outputs(lock: str) -> dict[str, list[str]]:
    """Return stage -> hashes of its outputs, for the stages whose bytes are promised."""
    stages = YAML(typ="safe", pure=True).load(lock)["stages"]
    return {
        stage: [f"{out['path']} {out['md5']}" for out in entry["outs"]]
        for stage, entry in stages.items()
        if stage.split("@")[0] in DATA_STAGES
    }


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
