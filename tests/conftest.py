"""Fixtures that tests share: shared test material, an engine in this process, a small project and its outputs."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# The same few examples in every run; `pytest --hypothesis-profile thorough` looks for new ones.
hypothesis.settings.register_profile("fast", max_examples=20, deadline=None, derandomize=True)
hypothesis.settings.register_profile("thorough", max_examples=500, deadline=None)
hypothesis.settings.load_profile("fast")

ROOT = Path(__file__).resolve().parent.parent


def _shared(variable: str, folder: str) -> Path:
    path = Path(os.environ.get(variable, ROOT.parent / "shared" / folder))
    if not path.is_dir():
        pytest.skip(f"no folder {path}; the environment variable {variable} may name it")
    return path


@pytest.fixture(scope="session")
def clips() -> Path:
    """Real clips: faces/ and traps/."""
    return _shared("VERIFRAME_CLIPS", "clips")


@pytest.fixture(scope="session")
def official() -> Path:
    """The published split lists: celeb_df_v2/ and ffpp/."""
    return _shared("VERIFRAME_OFFICIAL", "official")


@pytest.fixture
def in_process() -> Callable[..., Iterator[tuple[Any, Any]]]:
    """See in_process.py."""
    from in_process import run

    return run


@pytest.fixture(scope="session")
def celeb_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small tree of the layout celeb_df_v2 with faults; never changed by a test."""
    from fabricated_videos import write_celeb_tree

    return write_celeb_tree(tmp_path_factory.mktemp("raw") / "celeb")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, celeb_tree: Path) -> Path:
    """A small project after the stages from index to shard, without check; never changed by a test."""
    from small_project import STAGES, run_stage, write_params

    project = tmp_path_factory.mktemp("finished")
    write_params(project, celeb_tree)
    for stage in STAGES:
        if stage != "check":  # seconds of import that only its own tests need
            run_stage(project, stage)
    return project


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole project after `dvc repro`, see built_project.py; never changed by a test, only copied or cloned."""
    from built_project import built_once

    base = tmp_path_factory.getbasetemp()
    shared_by_workers = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    return built_once(shared_by_workers / "built")


@pytest.fixture
def project(tmp_path: Path, finished: Path) -> Path:
    """A copy of the finished project that a test may change."""
    return shutil.copytree(finished, tmp_path / "project")


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A real video of every shape of decoding.SHAPES, by name."""
    from exact_decoding import SHAPES
    from fabricated_videos import write_video

    folder = tmp_path_factory.mktemp("shapes")
    made: dict[str, Any] = SHAPES
    return {name: write_video(folder / f"{name}.mp4", **shape) for name, shape in made.items()}
