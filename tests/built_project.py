"""The project as a user has it after one `dvc repro`: a synthetic dataset and a user's own one behind a link.

Building takes a minute, so it is done once for all tests, whatever process they run in.
"""

from pathlib import Path

from filelock import FileLock

from project import commit, copy_project, fingerprint, run

OWN = "own_ffpp"
DATASETS = ["synthetic_celeb_df", OWN]
SMALL = {
    "synthesize.scale": 0.3,
    "audit.bootstrap": 200,
    "evaluate.bootstrap": 200,
    "evaluate.robustness.corruptions": ["jpeg"],
    "train.epochs": 2,
    "datasets.synthetic_ffpp": ...,
    "datasets.synthetic_dfdc": ...,
    f"datasets.{OWN}": {"layout": "ffpp", "root": f"data/raw/{OWN}", "methods": None, "compression": None},
}


def built_once(folder: Path) -> Path:
    """Return `folder`/project, built and committed, but pushed nowhere; its raw tree is `folder`/raw.

    It is only ever copied or cloned.
    """
    folder.mkdir(exist_ok=True)
    with FileLock(folder / "lock"):
        if not (folder / "whole").exists():
            _build(folder)
            (folder / "whole").touch()
    return folder / "project"


def _build(folder: Path) -> None:
    raw = folder / "raw" / OWN
    run(folder, "veriframe", "synthesize", "--layout", "ffpp", "--scale", "0.3", "--out", str(raw))
    project = copy_project(folder / "project", SMALL)
    before = fingerprint(raw)
    (project / "data/raw" / OWN).symlink_to(raw)
    run(project, "dvc", "repro")
    assert fingerprint(raw) == before
    commit(project, "First data")
