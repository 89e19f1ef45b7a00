"""Datasets go through remotes on real servers and come out as the same bytes (a folder: test_pipeline.py)."""

import json
import re
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from built_project import OWN
from pipeline.errors import UserError
from pipeline.files import sha256_of_file
from pipeline.reading import open_dataset
from pipeline.sharding import manifests
from project import change_params, commit, fingerprint, lock, run
from remote_servers import Remote, http_server, s3_server, ssh_server, webdav_server

KEY = "synthetic_celeb_df"
SHARDS = f"data/shard/{KEY}"
ARTIFACT = "own-ffpp"  # DVC allows lower-case letters, digits, `-` and `/`
SERVERS: dict[str, Callable[[Path], AbstractContextManager[Remote]]] = {
    "s3": lambda folder: s3_server(),
    "ssh": ssh_server,
    "webdav": webdav_server,
}


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that is the remote of `published`."""
    return tmp_path_factory.mktemp("storage")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, built: Path, storage: Path) -> Path:
    """A repository with two published versions, annotated tags: v1.0.0 as built, v2.0.0 with other shards of KEY."""
    project = shutil.copytree(built, tmp_path_factory.mktemp("published") / "project", symlinks=True)
    yaml = YAML()
    pipeline = yaml.load(project / "dvc.yaml")
    entry = {"type": "dataset", "path": f"data/shard/{OWN}", "desc": "Shards of FF++", "labels": ["webdataset"]}
    pipeline.setdefault("artifacts", {})[ARTIFACT] = entry
    yaml.dump(pipeline, project / "dvc.yaml")
    add_remote(project, (str(storage), {}))
    run(project, "dvc", "push", "shard")
    publish(project, "v1.0.0")
    change_params(project, {"shard.by_dataset": {KEY: {"jpeg_quality": 80}}})
    run(project, "dvc", "repro", "--single-item", f"shard@{KEY}")
    run(project, "dvc", "push", f"shard@{KEY}")
    publish(project, "v2.0.0")
    return project


def publish(project: Path, version: str) -> None:
    commit(project, f"Data {version}")
    run(project, "git", "tag", "--annotate", f"{ARTIFACT}@{version}", "--message", f"Data {version}")


def add_remote(project: Path, remote: Remote) -> None:
    """Add the remote as docs/sharing.md says: what everybody may know to git, the rest to this clone."""
    url, options = remote
    run(project, "dvc", "remote", "add", "--default", "storage", url)
    run(project, "dvc", "remote", "modify", "storage", "verify", "true")
    for name, value in options.items():
        run(project, "dvc", "remote", "modify", "--local", "storage", name, value)


def clone(repository: Path, to: Path, revision: str = "HEAD") -> Path:
    """Clone without data; the cache is empty."""
    run(to.parent, "git", "clone", "--quiet", str(repository), str(to))
    run(to, "git", "switch", "--quiet", "--detach", revision)
    return to


def new_repository(folder: Path) -> Path:
    """A consumer's repository that has nothing of Veriframe."""
    folder.mkdir()
    run(folder, "git", "init", "--quiet")
    run(folder, "dvc", "init", "--quiet")
    return folder


@pytest.mark.parametrize("kind", SERVERS)
def test_a_server_gives_back_the_same_bytes(built: Path, tmp_path: Path, kind: str) -> None:
    owner = with_cache_of(built, tmp_path / "owner")
    with SERVERS[kind](tmp_path / "server") as (url, secrets):
        add_remote(owner, (url, secrets))
        commit(owner, "Remote")
        run(owner, "dvc", "push", f"shard@{KEY}")
        colleague = clone(owner, tmp_path / "colleague")
        shutil.copy(owner / ".dvc/config.local", colleague / ".dvc")
        run(colleague, "dvc", "pull", f"shard@{KEY}")
    assert_whole(colleague / SHARDS, built)
    committed = (colleague / ".dvc/config").read_text()
    assert url in committed and "verify = true" in committed
    assert not any(secret in committed for secret in secrets.values())


def test_a_web_server_is_read_only(built: Path, tmp_path: Path) -> None:
    owner = with_cache_of(built, tmp_path / "owner")
    add_remote(owner, (str(tmp_path / "served"), {}))
    run(owner, "dvc", "push", f"shard@{KEY}")
    with http_server(tmp_path / "served") as (url, _):
        run(owner, "dvc", "remote", "modify", "storage", "url", url)
        commit(owner, "Remote")
        reader = clone(owner, tmp_path / "reader")
        run(reader, "dvc", "pull", f"shard@{KEY}")
        assert_whole(reader / SHARDS, built)
        refused = run(owner, "dvc", "push", f"shard@{OWN}", check=False)
    assert refused.returncode != 0 and "501" in refused.stderr and "failed to push" in refused.stderr


def test_one_shard_of_a_version(built: Path, published: Path, tmp_path: Path) -> None:
    shard = f"{SHARDS}/train/train-000000.tar"
    run(tmp_path, "dvc", "get", str(published), shard, "--rev", f"{ARTIFACT}@v1.0.0")
    assert sha256_of_file(tmp_path / "train-000000.tar") == sha256_of_file(built / shard)


def test_one_split_is_imported_and_updated(built: Path, published: Path, tmp_path: Path) -> None:
    consumer = new_repository(tmp_path / "consumer")
    (consumer / "faces").mkdir()
    for name in ("train", "samples.parquet", "manifest.json"):
        source = (str(published), f"{SHARDS}/{name}", "--rev", f"{ARTIFACT}@v1.0.0", "--out", f"faces/{name}")
        run(consumer, "dvc", "import", *source)
    imported = digests(consumer / "faces/train")
    assert imported == digests(built / SHARDS / "train") and len(imported) == 4
    assert len(open_dataset(consumer / "faces", "train")[[0, 1]][1]) == 2
    new = ("faces/train.dvc", "faces/samples.parquet.dvc", "faces/manifest.json.dvc")
    run(consumer, "dvc", "update", "--rev", f"{ARTIFACT}@v2.0.0", *new)
    updated = digests(consumer / "faces/train")
    assert updated == digests(published / SHARDS / "train") and updated != imported
    assert len(open_dataset(consumer / "faces", "train")) > 0
    with pytest.raises(UserError, match=r"test-000000\.tar is missing"):
        open_dataset(consumer / "faces")


def test_an_artifact_is_got_by_name_and_version(built: Path, published: Path, tmp_path: Path) -> None:
    run(tmp_path, "dvc", "artifacts", "get", str(published), ARTIFACT, "--rev", "v1.0.0", "--out", "faces")
    assert digests(tmp_path / "faces") == digests(built / f"data/shard/{OWN}")


def test_a_network_is_trained_without_the_raw_video(published: Path, tmp_path: Path) -> None:
    colleague = clone(published, tmp_path / "colleague", f"{ARTIFACT}@v1.0.0")
    before = lock(colleague)
    change_params(colleague, {"train.epochs": 1})
    run(colleague, "dvc", "pull", "shard")
    said = run(colleague, "dvc", "repro", "--pull", "--allow-missing", "train").stdout
    ran = re.findall(r"^Running stage '(.+)':$", said, flags=re.MULTILINE)
    assert ran == ["train"]
    after = lock(colleague)
    assert {stage for stage in after if after[stage] != before[stage]} == {"train"}
    assert json.loads((colleague / "data/train/model.json").read_text())
    assert not (colleague / "data/synthesize").exists() and not (colleague / "data/index").exists()


def test_a_damaged_object_on_the_remote_enters_no_cache(published: Path, storage: Path, tmp_path: Path) -> None:
    damaged = shutil.copytree(storage, tmp_path / "storage")
    listed = run(published, "dvc", "list", ".", f"{SHARDS}/train", "--json", "--show-hash").stdout
    digest = next(file["md5"] for file in json.loads(listed) if file["path"] == "train-000001.tar")
    flip_a_bit(damaged / "files/md5" / digest[:2] / digest[2:])
    colleague = clone(published, tmp_path / "colleague")
    run(colleague, "dvc", "remote", "modify", "storage", "url", str(damaged))
    refused = run(colleague, "dvc", "pull", f"shard@{KEY}", check=False)
    assert refused.returncode != 0 and SHARDS in refused.stderr
    cached = {path.parent.name + path.name for path in (colleague / ".dvc/cache/files").rglob("*") if path.is_file()}
    assert digest not in cached and len(cached) == 11
    assert not (colleague / SHARDS).exists()


def with_cache_of(built: Path, to: Path) -> Path:
    """Clone `built` with its cache, which is only read: nothing is made here, only pushed."""
    owner = clone(built, to)
    (owner / ".dvc/cache").symlink_to(built / ".dvc/cache")
    return owner


def digests(folder: Path) -> dict[str, str]:
    """Return path -> SHA-256 of every file below `folder`."""
    return {name: digest for name, (digest, _) in fingerprint(folder).items()}


def assert_whole(shards: Path, built: Path) -> None:
    """The folder holds what its manifest lists and what was built, and nothing else."""
    files = manifests.read(shards / manifests.NAME)["files"]
    there = digests(shards)
    assert there == digests(built / SHARDS)
    assert {name: digest for name, digest in there.items() if name != manifests.NAME} == {
        name: file["sha256"] for name, file in files.items()
    }


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
