from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipeline.errors import UserError
from pipeline.synthetic.layouts import LAYOUTS
from small_project import contents, run_script, run_stage

SETTINGS = {"seed": 3, "scale": 0.3}


def with_params(project: Path, **changes: Any) -> Path:
    YAML(typ="safe", pure=True).dump({"synthesize": SETTINGS | changes}, project / "params.yaml")
    return project


def test_stage_writes_the_tree_that_the_parameters_name(tmp_path: Path) -> None:
    result = run_script(with_params(tmp_path), "synthesize", "dfdc")
    assert result.returncode == 0, result.stderr
    tree = LAYOUTS["dfdc"](**SETTINGS)
    made = contents(tmp_path / "data/synthesize/dfdc")
    assert made.keys() == {video.path for video in tree.videos} | tree.files.keys()
    assert sorted(path.name for path in (tmp_path / "data/synthesize").iterdir()) == ["dfdc"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale": 0.1}, r"synthesize\.scale.*greater than or equal to 0\.3"),
        ({"seed": "one"}, r"synthesize\.seed.*integer"),
        ({"speed": 1}, r"synthesize\.speed.*not permitted"),
    ],
)
def test_bad_parameters_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run_stage(with_params(tmp_path, **changes), "synthesize", "dfdc")
    assert not (tmp_path / "data").exists()


def test_unknown_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"one layout out of celeb_df_v2, ffpp, dfdc, not \['wilddeepfake'\]"):
        run_stage(with_params(tmp_path), "synthesize", "wilddeepfake")


def test_torch_is_not_needed(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = "import sys, stages.synthesize; sys.exit('torch' in sys.modules)"
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
