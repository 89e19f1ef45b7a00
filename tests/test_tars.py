import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.files import sha256_of_file
from pipeline.tars import read_member, write_tar

MEMBERS = [("b.png", b"first"), ("a.png", b""), ("c.json", b"x" * 1000)]


def test_members_lie_where_the_offsets_say(tmp_path: Path) -> None:
    offsets = write_tar(tmp_path / "t.tar", MEMBERS)
    for (_, content), offset in zip(MEMBERS, offsets, strict=True):
        assert read_member(tmp_path / "t.tar", offset, len(content)) == content
    with tarfile.open(tmp_path / "t.tar") as tar:
        assert [member.name for member in tar] == ["b.png", "a.png", "c.json"]
        assert [member.offset_data for member in tar] == offsets
        assert {(member.mtime, member.uid, member.gid, member.uname, member.gname) for member in tar} == {
            (0, 0, 0, "", "")
        }


def test_known_bytes(tmp_path: Path) -> None:
    """The same on every day, machine and user; a change here changes every dataset."""
    write_tar(tmp_path / "t.tar", MEMBERS)
    assert sha256_of_file(tmp_path / "t.tar") == "e36ec313e0837176d892c178f9a64e099bc291fb55e62f4a84da5d3b84031d62"


@given(sizes=st.lists(st.integers(0, 2000), max_size=6))
def test_any_sizes(tmp_path_factory: pytest.TempPathFactory, sizes: list[int]) -> None:
    path = tmp_path_factory.mktemp("tar") / "t.tar"
    contents = [bytes([number]) * size for number, size in enumerate(sizes)]
    offsets = write_tar(path, ((f"{number}.jpg", content) for number, content in enumerate(contents)))
    assert [
        read_member(path, offset, len(content)) for offset, content in zip(offsets, contents, strict=True)
    ] == contents


def test_a_name_as_long_as_a_tar_allows(tmp_path: Path) -> None:
    (offset,) = write_tar(tmp_path / "t.tar", [("k" * 95 + ".json", b"here")])
    assert offset == 512 and read_member(tmp_path / "t.tar", offset, 4) == b"here"
    with pytest.raises(ValueError, match="name is too long"):
        write_tar(tmp_path / "u.tar", [("k" * 101, b"")])
    assert not (tmp_path / "u.tar").exists()


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    def members():
        yield "a.png", b"a"
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_tar(tmp_path / "t.tar", members())
    assert list(tmp_path.iterdir()) == []
