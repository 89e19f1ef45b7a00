"""Revisions of real DVC projects: from workspace, cache, and remotes of which only the bytes asked for are fetched."""

import http.server
import shutil
from pathlib import Path

import pytest

from pipeline import tables
from pipeline.errors import UserError
from pipeline.revisions import FileNotThere, open_revision
from project import commit, run
from range_server import counting, serving, use_remote

FOLDER = "data/shard/one"
TAR, TABLE = f"{FOLDER}/train/train-000000.tar", f"{FOLDER}/leaks.parquet"
CONTENT = {"v1": bytes(range(256)) * 40, "v2": bytes(reversed(range(256))) * 40}
LEAKS = [{"kind": "person", "node": "id0", "train": 1, "val": 0, "test": 2}]


@pytest.fixture(autouse=True)
def own_site_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the tags v1 and v2 and a workspace as v2, pushed to the folder `store` beside it."""
    base = tmp_path_factory.mktemp("shared")
    project = base / "project"
    project.mkdir()
    run(project, "git", "init", "--quiet", "--initial-branch", "main")
    run(project, "git", "config", "user.name", "Tester")
    run(project, "git", "config", "user.email", "tester@example.com")
    run(project, "dvc", "init", "--quiet")
    run(project, "dvc", "remote", "add", "--default", "store", str(base / "store"))
    (project / "params.yaml").write_text("datasets: {one: {layout: ffpp}}\n")
    for tag, content in CONTENT.items():
        (project / TAR).parent.mkdir(parents=True, exist_ok=True)
        (project / TAR).write_bytes(content)
        tables.write(project / TABLE, LEAKS, tables.LEAKS, ["node"])
        (project / FOLDER / "note.json").write_text('{"a": 1}')
        run(project, "dvc", "add", "--quiet", FOLDER)
        commit(project, tag)
        run(project, "git", "tag", tag)
        run(project, "dvc", "push", "--quiet")
    return project


@pytest.fixture
def clone(shared: Path, tmp_path: Path) -> Path:
    """A clone of it with an empty cache and nothing checked out."""
    run(tmp_path, "git", "clone", "--quiet", str(shared), "clone")
    return tmp_path / "clone"


def check_contents(rev: str | None, repo: Path) -> None:
    """Hold everything a revision gives against what was put in."""
    expected = CONTENT[rev or "v2"]
    with open_revision(rev, str(repo)) as revision:
        assert revision.has(TAR) and revision.has(FOLDER) and revision.has("params.yaml")
        assert not revision.has(f"{FOLDER}/other.tar") and not revision.has("data/shard/two")
        assert revision.files(FOLDER) == ["leaks.parquet", "note.json"]
        assert revision.read(TAR) == expected
        assert revision.read_range(TAR, 1000, 300) == expected[1000:1300]
        assert revision.read_range("params.yaml", 3, 5) == b"asets"
        assert revision.read_json(f"{FOLDER}/note.json") == {"a": 1}
        assert revision.params() == {"datasets": {"one": {"layout": "ffpp"}}}
        assert revision.read_arrow(TABLE, tables.LEAKS, ["node", "test"]).to_pylist() == [{"node": "id0", "test": 2}]
        assert revision.read_arrow(TABLE, tables.LEAKS).to_pylist() == LEAKS
        with pytest.raises(FileNotThere, match=f"has no {FOLDER}/other.tar"):
            revision.read_range(f"{FOLDER}/other.tar", 0, 1)


@pytest.mark.parametrize("rev", [None, "v1", "v2"])
def test_a_project_beside(shared: Path, rev: str | None) -> None:
    check_contents(rev, shared)


@pytest.mark.parametrize("rev", [None, "v1", "v2"])
def test_a_clone_that_has_only_a_remote(clone: Path, rev: str | None) -> None:
    check_contents(rev, clone)
    assert not (clone / FOLDER).exists()


@pytest.mark.parametrize("handler", ["plain", "ranges"])
def test_a_web_server(shared: Path, clone: Path, handler: str) -> None:
    shutil.copytree(shared.parent / "store", clone.parent / "web")
    if handler == "plain":  # it knows nothing of ranges and sends the whole file
        with serving(clone.parent / "web", http.server.SimpleHTTPRequestHandler) as url:
            use_remote(clone, url)
            check_contents("v1", clone)
    else:
        with counting(clone.parent / "web") as (url, _):
            use_remote(clone, url)
            check_contents("v1", clone)


def test_only_the_range_is_fetched(shared: Path, clone: Path) -> None:
    with counting(shared.parent / "store") as (url, sent):
        use_remote(clone, url)
        with open_revision("v1", str(clone)) as revision:
            assert revision.has(TAR)
            listing = sum(sent)
            assert revision.read_range(TAR, 5000, 77) == CONTENT["v1"][5000:5077]
            assert sum(sent) - listing == 77


def test_a_web_server_without_ranges_sends_a_shard_once(shared: Path, clone: Path) -> None:
    with counting(shared.parent / "store", ranges=False) as (url, sent):
        use_remote(clone, url)
        with open_revision("v1", str(clone)) as first, open_revision("v2", str(clone)) as second:
            assert first.has(TAR) and second.has(TAR)
            listings = len(sent)
            for offset in range(0, 9000, 1000):
                for revision, content in ((first, CONTENT["v1"]), (second, CONTENT["v2"])):
                    assert revision.read_range(TAR, offset, 77) == content[offset : offset + 77]
            assert sent[listings:] == [len(CONTENT["v1"]), len(CONTENT["v2"])]
            assert first.read(TAR) == CONTENT["v1"]


def test_another_project_by_its_url(shared: Path) -> None:
    with open_revision(None, f"file://{shared}") as revision:
        assert revision.name == f"its default branch of file://{shared}"
        assert revision.commit == run(shared, "git", "rev-parse", "main").stdout.strip()
        assert revision.read(TAR) == CONTENT["v2"]


def test_commit_and_name(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shared)
    with open_revision() as workspace, open_revision("v1") as first:
        assert (workspace.name, workspace.commit) == ("the workspace", None)
        assert first.name == "v1" and first.commit == run(shared, "git", "rev-parse", "v1").stdout.strip()


@pytest.mark.parametrize("rev", [None, "v1"])
def test_from_a_folder_inside_the_project(shared: Path, monkeypatch: pytest.MonkeyPatch, rev: str | None) -> None:
    monkeypatch.chdir(shared / FOLDER)
    with open_revision(rev) as revision:
        assert revision.has(TAR) and not revision.has("train/train-000000.tar")
        assert revision.read_range(TAR, 0, 9) == CONTENT[rev or "v2"][:9] and "datasets" in revision.params()


def test_outside_of_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for rev, called in ((None, "this project"), ("v1", "v1")):
        with pytest.raises(UserError, match=f"{called} cannot be opened: you are not inside"), open_revision(rev):
            pass


def test_what_was_changed_in_the_workspace_counts(shared: Path, tmp_path: Path) -> None:
    project = shutil.copytree(shared, tmp_path / "project", symlinks=True)
    (project / TAR).chmod(0o644)
    (project / TAR).write_bytes(b"changed by hand")
    with open_revision(None, str(project)) as revision:
        assert revision.read(TAR) == b"changed by hand"
        assert revision.read_range(TAR, 8, 2) == b"by"
    with open_revision("v2", str(project)) as revision:
        assert revision.read_range(TAR, 0, 8) == CONTENT["v2"][:8]


def test_what_is_unknown_is_named(shared: Path, tmp_path: Path) -> None:
    for rev, repo, remote, message in (
        ("v9", str(shared), None, "v9 of .* cannot be opened: unknown Git revision 'v9'"),
        (
            None,
            str(tmp_path / "nowhere"),
            None,
            "nowhere cannot be opened: Failed to clone.*: No git repository was found",
        ),
        (None, "http://127.0.0.1:9/x.git", None, "cannot be opened: Failed to clone.*: .*Connection refused"),
        ("v9", str(shared), None, "unknown Git revision 'v9'$"),  # said once
        ("v1", str(shared), "cloud", "has no remote 'cloud'; known: store"),
    ):
        with pytest.raises(UserError, match=message), open_revision(rev, repo, remote):
            pass


def test_data_that_was_never_pushed(clone: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    use_remote(clone, str(tmp_path / "empty"))
    with open_revision("v1", str(clone)) as revision:
        for ask in (revision.has, revision.read, revision.place, lambda path: revision.read_range(path, 0, 1)):
            with pytest.raises(UserError, match=f"{TAR} of v1 .* neither in the cache nor on the remote.*dvc push"):
                ask(TAR)
        assert revision.params()["datasets"] == {"one": {"layout": "ffpp"}}


def test_a_remote_that_lost_a_shard(shared: Path, clone: Path) -> None:
    store = shutil.copytree(shared.parent / "store", clone.parent / "store")
    use_remote(clone, str(store))
    lost = next(path for path in store.rglob("*") if path.is_file() and path.read_bytes() == CONTENT["v1"])
    lost.chmod(0o644)
    lost.unlink()
    with open_revision("v1", str(clone)) as revision:
        assert revision.has(TAR) and revision.files(FOLDER) == ["leaks.parquet", "note.json"]
        for ask in (revision.read, lambda path: revision.read_range(path, 0, 1)):
            with pytest.raises(UserError, match=f"{TAR} of v1 .* neither in the cache nor on the remote"):
                ask(TAR)


def test_a_remote_that_is_gone(shared: Path, clone: Path) -> None:
    with counting(shared.parent / "store") as (url, _):
        use_remote(clone, url)
    with open_revision("v1", str(clone)) as revision, pytest.raises(UserError, match="does not answer"):
        revision.read(TAR)


def test_files_that_are_not_what_they_should_be(shared: Path, tmp_path: Path) -> None:
    project = shutil.copytree(shared, tmp_path / "project", symlinks=True)
    (project / "params.yaml").write_text("[1, 2]")
    (project / "note.json").write_text("{")
    (project / "table.parquet").write_bytes(b"no table")
    with open_revision(None, str(project)) as revision:
        with pytest.raises(UserError, match=r"params.yaml at the workspace .* holds no mapping"):
            revision.params()
        with pytest.raises(UserError, match=r"note.json at the workspace .* is no JSON"):
            revision.read_json("note.json")
        with pytest.raises(UserError, match=r"table.parquet at the workspace .* is damaged"):
            revision.read_arrow("table.parquet", tables.LEAKS)
