"""Datasets streamed from a tag of somebody else's project, whose data lies on a real remote alone."""

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest
from torch.utils.data import DataLoader

from pipeline import tables
from pipeline.errors import UserError
from pipeline.files import sha256_of_bytes
from pipeline.streaming import open_stream, shard_urls
from project import commit, run
from remote_servers import http_server, s3_server, ssh_server, webdav_server

FOLDER = "data/shard/own_ffpp"
REMOTES = ["folder", "web", "s3", "ssh", "webdav"]


@pytest.fixture(scope="module")
def published(built, tmp_path_factory):
    """A project at the tag v1 with remotes of every kind, and nothing in its cache."""
    base = tmp_path_factory.mktemp("published")
    project = base / "project"
    run(base, "git", "clone", "--quiet", str(built), str(project))
    run(project, "git", "config", "user.name", "Tester")
    run(project, "git", "config", "user.email", "tester@example.com")
    with ExitStack() as servers:
        remotes = {
            "folder": (str(base / "folder"), {}),
            "web": servers.enter_context(http_server(base / "folder")),
            "s3": servers.enter_context(s3_server()),
            "ssh": servers.enter_context(ssh_server(base / "ssh")),
            "webdav": servers.enter_context(webdav_server(base / "webdav")),
        }
        config, secrets = "[core]\n    remote = folder\n", ""
        for name, (url, options) in remotes.items():
            config += remote_section(name, {"url": url})
            secrets += remote_section(name, options)
        (project / ".dvc/config").write_text(config)
        (project / ".dvc/config.local").write_text(f"[cache]\n    dir = {built / '.dvc/cache'}\n{secrets}")
        run(project, "dvc", "push")
        run(project, "dvc", "push", "--remote", "s3", "shard@own_ffpp")
        for served in (base / "ssh/datasets", base / "webdav/datasets"):
            shutil.copytree(base / "folder", served, dirs_exist_ok=True)
        commit(project, "Remotes")
        run(project, "git", "tag", "--annotate", "v1", "--message", "First version")
        (project / ".dvc/config.local").write_text(f"[cache]\n    dir = {base / 'empty'}\n{secrets}")
        yield project


def remote_section(name, options):
    """Return what `dvc remote add` and `dvc remote modify` write, each of which takes a second."""
    return f"['remote \"{name}\"']\n" + "".join(f"    {option} = {value}\n" for option, value in options.items())


@pytest.fixture(scope="module")
def expected(built):
    """SHA-256 of the picture and label of every training sample, by key."""
    samples = tables.read(built / FOLDER / "samples.parquet", tables.SAMPLES)
    samples = samples[samples["split"] == "train"]
    return {row["key"]: (row["sha256"], row["label"]) for row in samples.to_dict("records")}


def read(stream, workers=0):
    """Return SHA-256 and label of every sample of an epoch, in the order they come."""
    samples = DataLoader(stream.decode(only="json").to_tuple("__key__", "jpg", "json"), None, num_workers=workers)
    return [(key, (sha256_of_bytes(jpeg), description["label"])) for key, jpeg, description in samples]


@pytest.mark.parametrize("remote", REMOTES)
def test_every_sample_comes_once_from_every_kind_of_remote(published, expected, remote):
    stream = open_stream(FOLDER, "train", repo=str(published), rev="v1", remote=remote)
    for workers in (0, 2):  # first here: a worker must not inherit the connection
        found = read(stream, workers)
        assert len(found) == len(expected)
        assert dict(found) == expected


def test_nothing_is_kept(published, expected, built, tmp_path, monkeypatch):
    """From a real clone, as of an address elsewhere; everything that is written lies in `tmp_path`."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    stream = open_stream(FOLDER, "train", repo=f"file://{published}", rev="v1")
    assert dict(read(stream, 1)) == expected
    shards = {path.stat().st_size for path in (built / FOLDER).rglob("*.tar")}
    written = [path for folder in (tmp_path, published) for path in folder.rglob("*") if path.is_file()]
    assert any("dvc.lock" in path.name and path.is_relative_to(tmp_path) for path in written)  # the clone
    assert not [path for path in written if path.stat().st_size in shards]
    assert not (published.parent / "empty/files").exists()


def test_an_order_is_given_by_its_seed(published, expected):
    where = {"repo": str(published), "rev": "v1"}
    plain = [key for key, _ in read(open_stream(FOLDER, "train", **where))]
    runs = {
        seed: [key for key, _ in read(open_stream(FOLDER, "train", **where, shuffle=8, seed=seed))] for seed in (1, 2)
    }
    again = open_stream(FOLDER, "train", **where, shuffle=8, seed=1)
    assert [key for key, _ in read(again)] == runs[1]
    assert [key for key, _ in read(again)] != runs[1]  # the next epoch
    assert plain != runs[1] != runs[2]
    assert sorted(runs[1]) == sorted(runs[2]) == sorted(expected)


def test_addresses_are_for_plain_readers(published, expected):
    import webdataset as wds

    paths = shard_urls(FOLDER, "train", repo=str(published), rev="v1")
    assert all(Path(path).is_relative_to(published.parent / "folder/files/md5") for path in paths)
    samples = list(wds.WebDataset(paths, shardshuffle=False))
    assert sorted(sample["__key__"] for sample in samples) == sorted(expected)
    for remote, start in (("web", "http://127.0.0.1:"), ("s3", "s3://veriframe/datasets/files/md5/")):
        urls = shard_urls(FOLDER, "train", repo=str(published), rev="v1", remote=remote)
        assert len(urls) == len(paths)
        assert all(url.startswith(start) for url in urls)


def test_this_project_needs_no_address(built, expected, monkeypatch):
    monkeypatch.chdir(built)
    assert dict(read(open_stream(f"{FOLDER}/", "train"))) == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": "tset"}, "data/shard/own_ffpp at v1 of .* has no split 'tset'; known: test, train, val"),
        ({"folder": "data/shard/other"}, "v1 of .* has no data/shard/other/manifest.json"),
        ({"rev": "v7"}, "v7 of .* cannot be opened"),
        ({"remote": "elsewhere"}, "has no remote 'elsewhere'; known: folder, "),
    ],
)
def test_what_is_not_there_is_named(published, changes, message):
    asked = {"folder": FOLDER, "split": "train", "repo": str(published), "rev": "v1"} | changes
    with pytest.raises(UserError, match=message):
        open_stream(**asked)


def test_a_shard_cut_short_is_named(published, expected, tmp_path):
    copied = shutil.copytree(published, tmp_path / "project")
    shutil.copytree(published.parent / "folder", tmp_path / "folder")
    with (copied / ".dvc/config.local").open("a") as config:
        config.write(remote_section("cut", {"url": str(tmp_path / "folder")}))
    url = shard_urls(FOLDER, "train", repo=str(copied), rev="v1", remote="cut")[-1]
    Path(url).chmod(0o644)
    # Where a sample ends, so that the tar as such is in order.
    content = Path(url).read_bytes()
    Path(url).write_bytes(content[: len(content) // 2 // 512 * 512])
    stream = open_stream(FOLDER, "train", repo=str(copied), rev="v1", remote="cut")
    with pytest.raises(UserError, match=rf"{url} has \d+ bytes, not {len(content)} as the manifest says"):
        read(stream)
