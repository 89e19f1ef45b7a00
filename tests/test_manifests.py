from pathlib import Path

import pytest

import in_process
from pipeline.errors import UserError
from pipeline.sharding import manifests, sealing


def test_what_is_written_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/one.tar").write_bytes(b"one")
    (tmp_path / "zwei.json").write_bytes(b"")
    sealing.seal(tmp_path, {"dataset": "d", "samples": 3}, in_process.run)
    first = (tmp_path / "manifest.json").read_bytes()
    sealing.seal(tmp_path, {"samples": 3, "dataset": "d"}, in_process.run)
    assert (tmp_path / "manifest.json").read_bytes() == first
    assert manifests.read(tmp_path / "manifest.json") == {
        "format": "veriframe-manifest-1",
        "dataset": "d",
        "samples": 3,
        "files": {
            "a/one.tar": {"bytes": 3, "sha256": "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"},
            "zwei.json": {"bytes": 0, "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        },
    }


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff", b'{"files": {}}', b'{"format": "veriframe-manifest-1"}']
)
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"manifest\.json is damaged, or of another version"):
        manifests.read(path)


def test_a_missing_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"manifest\.json is missing; run `dvc repro`"):
        manifests.read(tmp_path / "manifest.json")
