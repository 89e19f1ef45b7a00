from pathlib import Path

import pytest

from pipeline import files
from pipeline.errors import UserError


def test_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep/down/file.txt"
    with files.whole_or_absent(path) as part:
        assert part.parent == path.parent
        part.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new" and list(path.parent.iterdir()) == [path]


def test_absent_after_an_error_and_the_old_one_stays(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), files.whole_or_absent(path) as part:
        part.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_two_writers_do_not_share_the_part(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    with files.whole_or_absent(path) as one, files.whole_or_absent(path) as other:  # of one process, even
        assert one != other and one.suffix == other.suffix == ".part"
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one" and list(tmp_path.iterdir()) == [path]  # the last to be renamed, whole


def test_hashes(tmp_path: Path) -> None:
    known = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"  # of "hello", as published everywhere
    (tmp_path / "file").write_bytes(b"hello")
    assert (
        files.sha256_of_file(tmp_path / "file")
        == files.sha256_of_bytes(b"hello")
        == files.sha256_of_text("hello")
        == known
    )
    assert files.sha256_of_text("a", 1) == files.sha256_of_bytes(b"a\n1") != files.sha256_of_text("a1")


def test_listing_is_sorted_and_follows_links(tmp_path: Path) -> None:
    for name in ("b/z.mp4", "b/a.mp4", "B.mp4", "a b/ü 'x'.mp4"):
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/c.mp4").touch()
    (tmp_path / "tree/link").symlink_to(tmp_path / "elsewhere")
    expected = ["B.mp4", "a b/ü 'x'.mp4", "b/a.mp4", "b/z.mp4", "link/c.mp4"]
    assert files.list_files(tmp_path / "tree") == expected


def test_folders_of_datasets_are_those_of_the_parameters(tmp_path: Path) -> None:
    for key in ("a", "b", "more"):
        (tmp_path / key).mkdir()
    with pytest.raises(UserError, match=r"also holds more, which `datasets` in .* does not name"):
        files.folder_of_each(tmp_path, ["b", "a"])
    with pytest.raises(UserError, match="c: not there; run `dvc repro`"):
        files.folder_of_each(tmp_path, ["b", "c"])
    assert list(files.folder_of_each(tmp_path, ["more", "b", "a"])) == ["more", "b", "a"]
