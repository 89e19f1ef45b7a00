"""`veriframe verify` on a project with real DVC: what DVC itself does not see."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo

import in_process
from built_project import OWN
from command import veriframe
from damage import flip, listing_of, md5_of, object_of, stored, swap_label
from pipeline import tables
from pipeline.files import sha256_of_file
from pipeline.sharding import manifests, sealing
from pipeline.verification import hashing, places
from project import commit, fingerprint, lock, run
from remote_servers import http_server, s3_server

KEY = "synthetic_celeb_df"
SHARDS = f"data/shard/{OWN}"
SHARD = f"{SHARDS}/test/test-000001.tar"
TABLE = f"{SHARDS}/samples.parquet"
Found = list[tuple[str, str, str]]  # (place, problem, path)


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory, built: Path) -> Path:
    """A folder with a clone of the built project, its own cache, and the remote `lab` it was pushed to."""
    folder = tmp_path_factory.mktemp("pushed")
    (folder / "lab").mkdir()
    run(folder, "git", "clone", "--quiet", "--depth", "1", f"file://{built}", "project")
    project = folder / "project"
    shutil.copytree(built / ".dvc/cache", project / ".dvc/cache")
    run(project, "git", "config", "user.name", "Tester")
    run(project, "git", "config", "user.email", "tester@example.com")
    run(project, "dvc", "checkout", "--quiet")
    add_remote(project, "lab", "../../lab")
    add_remote(project, "gone", "../../gone")
    add_remote(project, "versions", "s3://bucket/path", version_aware="true")
    add_remote(project, "deaf", "http://127.0.0.1:9/nothing")
    run(project, "dvc", "push", "--quiet", "--remote", "lab")
    return folder


def add_remote(project: Path, name: str, url: str, **options: str) -> None:
    """Do what `dvc remote add --local` and `dvc remote modify --local` do, without a process for each."""
    lines = [f"['remote \"{name}\"']", *(f"    {key} = {value}" for key, value in {"url": url, **options}.items())]
    with (project / ".dvc/config.local").open("a") as config:
        config.write("\n".join(lines) + "\n")


@pytest.fixture
def project(tmp_path: Path, pushed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of it that a test may damage, in which the test works."""
    shutil.copytree(pushed, tmp_path / "all", symlinks=True, copy_function=copy_or_link)
    yield enter(tmp_path / "all/project", monkeypatch)
    shutil.rmtree(tmp_path / "all")


def copy_or_link(source: str, to: str) -> None:
    """Copy a file; an object of cache or remote, which nobody writes to but `flip`, by a hard link."""
    (os.link if "/files/md5/" in source else shutil.copy2)(source, to)


def enter(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(project)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(project / ".cache/dvc-site"))
    return project


def report(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """Run `veriframe verify --json` and return its report; the exit code must fit it."""
    code, out, complaints = veriframe(capsys, "verify", "--json", *arguments)
    assert code in (0, 1), complaints
    found: dict[str, Any] = json.loads(out)
    assert code == (1 if found["findings"] else 0)
    return found


def findings(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[Found, list[str]]:
    """Return what `veriframe verify` finds: about files, sorted, and the keys of samples."""
    found = report(capsys, *arguments)["findings"]
    files = sorted((f["place"], f["problem"], f["path"]) for f in found if "sample" not in f)
    return files, [f"{f['sample']}: {f['detail']}" for f in found if "sample" in f]


def damaged_files(capsys: pytest.CaptureFixture[str], *arguments: str) -> Found:
    """Return what `veriframe verify` finds about files, sorted."""
    return findings(capsys, *arguments)[0]


# --- nothing is wrong ------------------------------------------------------------------------------------------------


def test_a_whole_project_is_read_to_the_last_byte_and_left_alone(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = ("data", "reports", ".dvc/cache", "../lab")
    before = {folder: fingerprint(project / folder) for folder in kept}
    found = report(capsys, "--remote", "lab")
    assert {folder: fingerprint(project / folder) for folder in kept} == before
    assert found["findings"] == [] and found["notes"] == []

    recorded = sum(out["size"] for stage in lock(project).values() for out in stage["outs"])
    assert found["places"]["workspace"]["bytes"] == recorded > 1e6
    objects = [path for path in (project / "../lab/files").rglob("*") if path.is_file()]
    for place in ("cache", "remote lab"):
        assert found["places"][place] == {
            "files": len(objects),
            "bytes": sum(path.stat().st_size for path in objects),
            "not_here": [],
        }


def test_links_into_the_cache_are_read_once(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(project, "dvc", "config", "--local", "cache.type", "hardlink,symlink")
    run(project, "dvc", "checkout", "--relink")
    assert (project / SHARD).samefile(object_of(project / ".dvc/cache", project / SHARD))
    read: list[str] = []
    monkeypatch.setattr(places, "digest", lambda job: (read.append(job[1]), hashing.digest(job))[1])
    assert report(capsys)["findings"] == []
    inodes = Counter((Path(path).stat().st_dev, Path(path).stat().st_ino) for path in read)
    assert len(inodes) > 100 and set(inodes.values()) == {1}


def test_what_was_never_pulled_is_no_problem(
    tmp_path: Path, pushed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, "git", "clone", "--quiet", "--depth", "1", f"file://{pushed}/project", "project")
    project = enter(tmp_path / "project", monkeypatch)
    add_remote(project, "lab", str(pushed / "lab"))
    nothing = report(capsys)
    assert nothing["findings"] == [] and SHARDS in nothing["places"]["workspace"]["not_here"]

    run(project, "dvc", "pull", "--quiet", "--remote", "lab", SHARDS)
    found = report(capsys)
    assert found["findings"] == []
    for place in ("workspace", "cache"):
        absent = found["places"][place]["not_here"]
        assert SHARDS not in absent and f"data/shard/{KEY}" in absent and f"data/split/{OWN}" in absent
    assert found["places"]["workspace"]["files"] > len([path for path in Path(SHARDS).rglob("*") if path.is_file()])
    flip(project / SHARD)
    assert damaged_files(capsys) == [("workspace", "altered", SHARD)]


# --- one damage each -------------------------------------------------------------------------------------------------


def sees_nothing(project: Path, stage: str) -> bool:
    return "up to date" in run(project, "dvc", "status", stage).stdout


def test_a_flipped_byte_in_the_workspace(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sees_nothing(project, f"shard@{OWN}")  # and now DVC has a memory of this file
    at = tables.read(project / TABLE, tables.SAMPLES).query("shard == 'test/test-000001.tar'").iloc[5]
    flip(project / SHARD, int(at.offset) + 300)
    assert sees_nothing(project, f"shard@{OWN}")
    files, (sample,) = findings(capsys)
    assert files == [("workspace", "altered", SHARD)] and sample.startswith(f"{at.key}: sha256 of its picture is")


def test_a_flipped_byte_in_the_cache(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = object_of(project / ".dvc/cache", project / SHARD)
    assert damaged.stat().st_mode & 0o777 == 0o444
    flip(damaged)
    (found,) = report(capsys, "--remote", "lab")["findings"]
    assert (found["place"], found["problem"], found["path"]) == ("cache", "altered", SHARD)
    assert found["object"] == str(damaged) and damaged.stat().st_mode & 0o777 == 0o444


def test_a_flipped_byte_and_lost_shards_on_the_remote(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lab, lost = project / "../lab", f"{SHARDS}/train/train-000001.tar"
    flip(object_of(lab, project / SHARD))
    object_of(lab, project / lost).unlink()
    assert damaged_files(capsys) == []
    assert damaged_files(capsys, "--remote", "lab") == [
        ("remote lab", "altered", SHARD),
        ("remote lab", "missing", lost),
    ]


def test_files_deleted_in_workspace_and_cache(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lost = f"{SHARDS}/val/val-000000.tar"
    object_of(project / ".dvc/cache", project / lost).unlink()
    (project / lost).unlink()
    assert damaged_files(capsys) == [("cache", "missing", lost), ("workspace", "missing", lost)]


def test_a_file_too_many(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / SHARDS / "train/train-000009.tar").write_bytes(b"more")
    (project / SHARDS / "__pycache__").mkdir()
    (project / SHARDS / "__pycache__/ignored.pyc").touch()  # .dvcignore names it
    assert damaged_files(capsys) == [("workspace", "extra", f"{SHARDS}/train/train-000009.tar")]


def test_a_swapped_label_in_a_table(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = swap_label(project / TABLE, tables.SAMPLES, ["shard", "offset"])
    swap_label(project / f"data/split/{OWN}/videos.parquet", tables.ASSIGNMENTS, ["video"])
    files, (sample,) = findings(capsys)
    assert files == [("workspace", "altered", TABLE), ("workspace", "altered", f"data/split/{OWN}/videos.parquet")]
    assert sample.startswith(f"{key}: label is ")


def test_a_swapped_label_made_consistent_with_manifest_and_lock(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = swap_label(project / TABLE, tables.SAMPLES, ["shard", "offset"])
    manifest = manifests.read(project / SHARDS / manifests.NAME)
    sealing.seal(project / SHARDS, {name: manifest[name] for name in ("dataset", "samples")}, in_process.run)
    run(project, "dvc", "commit", "--force", "--quiet", f"shard@{OWN}")
    commit(project, "Nothing to see here")
    files, (sample,) = findings(capsys)
    known = [(place, "altered", f"{SHARDS}/manifest.json") for place in ("cache", "workspace")]
    assert files == known and sample.startswith(f"{key}: label is ")  # reports/manifests.json knows the manifest


def test_a_manifest_that_git_does_not_know(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = "reports/manifests.json"
    hashes = json.loads((project / path).read_text())
    hashes[OWN] = "0" * 64
    hashes[KEY] = sha256_of_file(project / f"data/shard/{KEY}/manifest.json")
    (project / path).write_text(json.dumps(hashes))
    altered = [("cache", f"{SHARDS}/manifest.json"), ("workspace", f"{SHARDS}/manifest.json"), ("workspace", path)]
    found = report(capsys)
    assert found["notes"] == [f"{path} is not as committed; manifests were compared with the file as it is here"]

    commit(project, "Hashes")
    found = report(capsys)
    assert sorted((f["place"], f["path"]) for f in found["findings"]) == altered and found["notes"] == []


def test_a_manifest_that_does_not_fit_its_folder(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = project / SHARDS / manifests.NAME
    manifest = json.loads(path.read_text())
    files = manifest["files"]
    files["test/test-000001.tar"]["sha256"] = "0" * 64
    files["_info.json"]["bytes"] += 1
    files["val/val-000009.tar"] = files.pop("val/val-000000.tar")
    path.write_text(json.dumps(manifest))
    assert damaged_files(capsys) == [("workspace", "altered", f"{SHARDS}/manifest.json")]  # not itself to be trusted

    run(project, "dvc", "commit", "--force", "--quiet", f"shard@{OWN}")
    assert damaged_files(capsys) == [
        (place, problem, f"{SHARDS}/{name}")
        for place in ("cache", "workspace")
        for problem, name in (
            ("altered", "_info.json"),
            ("altered", "manifest.json"),  # reports/manifests.json knows another
            ("altered", "test/test-000001.tar"),
            ("extra", "val/val-000000.tar"),
            ("missing", "val/val-000009.tar"),
        )
    ]


def test_a_damaged_listing_of_a_folder(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    oid = listing_of(project, f"shard@{OWN}")
    damaged = stored(project / ".dvc/cache", oid)
    flip(damaged, 40)
    assert damaged_files(capsys) == [("cache", "altered", SHARDS)]  # the workspace proves what it should be

    flip(project / SHARD)
    assert damaged_files(capsys) == [("cache", "altered", SHARDS), ("workspace", "altered", SHARDS)]
    assert damaged_files(capsys, "--remote", "lab") == [("cache", "altered", SHARDS), ("workspace", "altered", SHARD)]

    stored(project / "../lab", oid).unlink()
    damaged.unlink()
    assert damaged_files(capsys) == [("cache", "missing", SHARDS), ("workspace", "altered", SHARDS)]
    flip(project / SHARD)
    assert damaged_files(capsys, "--remote", "lab") == [
        ("cache", "missing", SHARDS),
        ("remote lab", "missing", SHARDS),
    ]


def test_a_folder_in_git_has_no_listing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = "reports/train/plots/metrics"
    with next((project / folder).rglob("*.tsv")).open("a") as file:
        file.write("9\t0.1\n")
    assert damaged_files(capsys) == [("workspace", "altered", folder)]


def test_files_that_cannot_be_read(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cut = f"{SHARDS}/test/test-000000.tar"
    (project / SHARD).unlink()
    (project / SHARD).mkdir()
    (project / cut).write_bytes((project / cut).read_bytes()[:900])
    (project / f"data/shard/{KEY}/samples.parquet").write_bytes(b"no table")
    files, _ = findings(capsys)
    assert files == [
        ("workspace", "altered", cut),
        ("workspace", "altered", f"data/shard/{KEY}/samples.parquet"),
        ("workspace", "unreadable", cut),
        ("workspace", "unreadable", SHARD),
        ("workspace", "unreadable", f"data/shard/{KEY}/samples.parquet"),
    ]


# --- other people's data ---------------------------------------------------------------------------------------------


def test_imported_shards(
    tmp_path: Path, pushed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "consumer").mkdir()
    consumer = enter(tmp_path / "consumer", monkeypatch)
    run(consumer, "git", "init", "--quiet")
    run(consumer, "dvc", "init", "--quiet")
    for path, to in ((SHARDS, "theirs"), (f"data/shard/{KEY}/test", "one_split")):
        run(consumer, "dvc", "import", "--quiet", str(pushed / "project"), path, "--out", to)
    (tmp_path / "own").mkdir()
    add_remote(consumer, "own", str(tmp_path / "own"))
    found = report(capsys, "--remote", "own")  # what is imported is not pushed, and is no loss there
    assert found["findings"] == [] and found["places"]["remote own"]["files"] == 0
    assert found["places"]["workspace"]["files"] == 11 + 2

    key = swap_label(consumer / "theirs/samples.parquet", tables.SAMPLES, ["shard", "offset"])
    flip(consumer / "one_split/test-000000.tar")
    files, (sample,) = findings(capsys)
    assert files == [
        ("workspace", "altered", "one_split/test-000000.tar"),
        ("workspace", "altered", "theirs/samples.parquet"),
    ]
    assert sample.startswith(f"{key}: label is ")


def test_one_split_imported_with_its_index(
    tmp_path: Path, pushed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "consumer/faces").mkdir(parents=True)
    consumer = enter(tmp_path / "consumer", monkeypatch)
    run(consumer, "git", "init", "--quiet")
    run(consumer, "dvc", "init", "--quiet")
    for name in ("test", "samples.parquet", "manifest.json"):
        run(consumer, "dvc", "import", "--quiet", str(pushed / "project"), f"{SHARDS}/{name}", "--out", f"faces/{name}")
    assert report(capsys)["findings"] == []  # the other splits are not missed

    key = swap_label(consumer / "faces/samples.parquet", tables.SAMPLES, ["shard", "offset"])
    flip(consumer / "faces/test/test-000001.tar")
    files, samples = findings(capsys)
    assert files == [
        ("workspace", "altered", "faces/samples.parquet"),
        ("workspace", "altered", "faces/test/test-000001.tar"),
    ]
    rows = tables.read(consumer / "faces/samples.parquet", tables.SAMPLES).set_index("key")
    told = [f"{key}: label is "] if rows.split[key] == "test" else []
    assert [sample for sample in samples if ": label is " in sample][: len(told)] == [
        sample for sample in samples if sample.startswith(tuple(told))
    ]


def test_what_was_here_and_is_gone(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(project / SHARDS)
    (project / "reports/manifests.json").unlink()  # Git has it, and the lock knows it
    shutil.rmtree(project / "data/check" / OWN)
    (project / "data/check" / OWN).write_text("no folder")
    listed = listing_of(project, f"split@{OWN}")
    files = json.loads(stored(project / ".dvc/cache", listed).read_text())
    for oid in {listed, *(entry["md5"] for entry in files)}:
        stored(project / ".dvc/cache", oid).unlink(missing_ok=True)
    assert damaged_files(capsys) == [
        ("cache", "missing", f"data/split/{OWN}"),
        ("workspace", "altered", f"data/check/{OWN}"),
        ("workspace", "missing", SHARDS),
        ("workspace", "missing", "reports/manifests.json"),
    ]


def test_nothing_recorded(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
    code, said, complaint = veriframe(capsys, "verify")
    assert (code, said) == (2, "") and "no hash of any output is recorded; run `dvc repro`" in complaint


def test_an_s3_remote(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    split, lost = f"data/split/{OWN}/videos.parquet", f"{SHARDS}/train/train-000001.tar"
    with s3_server() as (url, options):
        add_remote(project, "cloud", url, **options)
        run(project, "dvc", "push", "--quiet", "--remote", "cloud", f"data/split/{OWN}", SHARDS)

        with Repo(project) as repo:
            store = repo.cloud.get_remote("cloud").odb
            store.fs.remove(store.oid_to_path(md5_of(project / lost)))
            another = b"another" + (project / SHARD).read_bytes()[7:]
            store.fs.pipe_file(store.oid_to_path(md5_of(project / SHARD)), another)
        found = damaged_files(capsys, "--remote", "cloud")
    assert [one for one in found if one[2].startswith((SHARDS, split))] == [
        ("remote cloud", "altered", SHARD),
        ("remote cloud", "missing", lost),
    ]
    assert ("remote cloud", "missing", "data/train") in found  # it was not pushed


def test_a_remote_behind_a_web_server(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lab, lost = project / "../lab", f"{SHARDS}/train/train-000001.tar"
    object_of(lab, project / lost).unlink()
    flip(object_of(lab, project / SHARD))
    with http_server(lab.resolve()) as (url, _):
        add_remote(project, "web", url)
        found = damaged_files(capsys, "--remote", "web")
    assert found == [("remote web", "altered", SHARD), ("remote web", "missing", lost)]


# --- nothing to verify -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("remote", "message"),
    [
        ("nobody", "--remote nobody: config file error: remote 'nobody' doesn't exist"),
        ("gone", "--remote gone: there is no folder"),
        ("versions", "--remote versions is version_aware or a worktree"),
        ("deaf", "--remote deaf cannot be read: "),
    ],
)
def test_a_remote_that_cannot_be_verified(
    pushed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], remote: str, message: str
) -> None:
    enter(pushed / "project", monkeypatch)
    code, out, complaint = veriframe(capsys, "verify", "--remote", remote)
    assert (code, out) == (2, "") and complaint.startswith(f"error: {message}") and complaint.count("\n") == 1


def test_an_empty_remote_is_one_finding(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(project / "../lab/files")
    (found,) = report(capsys, "--remote", "lab")["findings"]
    assert (found["place"], found["problem"], found["path"]) == ("remote lab", "missing", ".")


def test_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, complaint = veriframe(capsys, "verify")
    assert (code, out) == (2, "") and complaint.startswith("error: cannot verify: ") and complaint.count("\n") == 1


def test_a_damaged_lock(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "dvc.lock").write_text("<<<<<<< HEAD\n")
    code, out, complaint = veriframe(capsys, "verify")
    assert (code, out) == (2, "") and complaint.startswith("error: cannot verify: ") and complaint.count("\n") == 1


# --- what people read ------------------------------------------------------------------------------------------------


def test_lines_for_people(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text, progress = veriframe(capsys, "verify")
    assert code == 0 and text.endswith("everything here is as recorded\n")
    assert "verify workspace: " in progress and "verify cache: " in progress

    table = tables.read(project / TABLE, tables.SAMPLES)
    tables.write(project / TABLE, table.assign(label=1 - table.label), tables.SAMPLES, order=["shard", "offset"])
    for oid in (listing_of(project, "train"), md5_of(project / "data/train/model.safetensors")):
        stored(project / ".dvc/cache", oid).unlink()
    stored(project / ".dvc/cache", md5_of(project / "data/train/model.json")).unlink()
    shutil.rmtree(project / "data/train")
    code, text, _ = veriframe(capsys, "verify")
    lines = text.splitlines()
    many = (table["shard"] == "test/test-000001.tar").sum()
    assert code == 1 and many > 20
    assert lines[0].startswith("altered  workspace  " + TABLE + ": MD5 ")
    assert f"and {many - 20} more samples  workspace  {SHARD}" in lines
    assert next(line for line in lines if line.startswith("workspace: ")).endswith("; not here: data/train")
    assert lines[-1] == f"{1 + len(table)} problems found"
