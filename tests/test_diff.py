"""`veriframe diff` between real commits of a real DVC project."""

import base64
import html
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from command import veriframe
from fabricated_videos import picture, write_celeb_tree, write_video
from pipeline.comparing import describe, facts, pictures
from pipeline.files import sha256_of_bytes
from project import change_params, commit, copy_project, run
from range_server import counting, use_remote

KEY = "tiny"
ADDED, BROKEN = "Celeb-real/id7_0000", "Celeb-synthesis/id1_id2_0001"
CHANGES = {
    "datasets.synthetic_celeb_df": ...,
    "datasets.synthetic_ffpp": ...,
    "datasets.synthetic_dfdc": ...,
    f"datasets.{KEY}": {"layout": "celeb_df_v2", "root": f"data/raw/{KEY}", "methods": None, "compression": None},
    "train.datasets": [KEY],
    "sample.every": 5,
    "extract.faces": "none",
    "extract.tars": 2,
    "shard.size": 64,
}
TABLES = {
    "videos": "index/{}/videos.parquet",
    "split": "split/{}/videos.parquet",
    "frames": "extract/{}/frames.parquet",
    "quotas": "extract/{}/quotas.parquet",
    "samples": "shard/{}/samples.parquet",
}
# Instead of the stage check, which takes seconds to import what checks tables: nothing here depends on its verdict.
NO_CHECK = """
import pathlib, sys
folder = pathlib.Path("data/check", sys.argv[1])
folder.mkdir(parents=True)
(folder / "verdict.json").write_text("{}")
"""
Tables = dict[str, pd.DataFrame]


@pytest.fixture(autouse=True)
def own_site_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Tables]]:
    """A project with the tags v1, v2, v3, pushed to the folder `store` beside it, and the tables it had at each."""
    base = tmp_path_factory.mktemp("history")
    raw = write_celeb_tree(base / "raw", faults=False)
    project = copy_project(base / "project", CHANGES)
    (project / "data/raw" / KEY).symlink_to(raw)
    (project / "stages/check.py").write_text(NO_CHECK)
    run(project, "dvc", "remote", "add", "--default", "store", str(base / "store"))
    versions: dict[str, Tables] = {}

    def release(tag: str) -> None:
        run(project, "dvc", "repro", f"shard@{KEY}", VERIFRAME_WORKERS="1")
        commit(project, tag)
        run(project, "git", "tag", tag)
        versions[tag] = {name: pd.read_parquet(project / "data" / path.format(KEY)) for name, path in TABLES.items()}

    release("v1")
    write_video(raw / f"{ADDED}.mp4", pixels=[picture(number + 99, 64, 48) for number in range(20)])
    (raw / f"{BROKEN}.mp4").write_bytes(b"no video at all " * 50)
    release("v2")
    change_params(project, {"sample.every": 8, "shard.jpeg_quality": 80})
    release("v3")
    run(project, "dvc", "push", "--quiet", "--all-tags")
    return project, versions


@pytest.fixture
def clone(history: tuple[Path, dict[str, Tables]], tmp_path: Path) -> Path:
    """A clone with an empty cache and nothing checked out."""
    run(tmp_path, "git", "clone", "--quiet", str(history[0]), "clone")
    return tmp_path / "clone"


def diff(capsys: pytest.CaptureFixture[str], project: Path, *arguments: str) -> tuple[int, str, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        return veriframe(capsys, "diff", *arguments)


def diff_json(capsys: pytest.CaptureFixture[str], project: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    code, out, err = diff(capsys, project, *arguments, "--json")
    assert not err
    return code, json.loads(out)


def video_key(path: str) -> str:
    return f"{KEY}/{path.replace('/', '/native/')}"


def keys(rows: list[dict[str, Any]], name: str = "key") -> list[str]:
    return sorted(row[name] for row in rows)


# --- between commits -------------------------------------------------------------------------------------------------


def hold_samples(found: dict[str, Any], before: Tables, after: Tables) -> None:
    """Hold what is said of samples against sets of the two versions' tables."""
    was, now = (version["samples"].set_index("key") for version in (before, after))
    both = was.index.intersection(now.index)
    assert (found["before"], found["after"]) == (len(was), len(now))
    assert keys(found["added"]) == sorted(set(now.index) - set(was.index))
    assert keys(found["removed"]) == sorted(set(was.index) - set(now.index))
    assert keys(found["replaced"]) == sorted(key for key in both if was.sha256[key] != now.sha256[key])
    assert keys(found["resplit"]) == sorted(key for key in both if was.split[key] != now.split[key])
    for cell in found["cells"]:
        place = (cell["split"], cell["label"])
        assert cell["before"] == sum(pair == place for pair in zip(was.split, was.label, strict=True))
        assert cell["after"] == cell["before"] + cell["added"] + cell["moved_in"] - cell["removed"] - cell["moved_out"]
    for kind, other in (("added", before), ("removed", after)):
        frames = other["frames"].set_index("key")
        status = other["videos"].set_index("video").status
        for row in found[kind]:
            if row["key"] in frames.index:
                assert row["why"] == frames.status[row["key"]]
            elif row["video"] in status.index:
                assert row["why"].startswith("no candidate" if status[row["video"]] == "ok" else "video rejected: ")
            else:
                assert row["why"] == "no video"


def test_one_video_added_and_one_broken(
    history: tuple[Path, dict[str, Tables]], capsys: pytest.CaptureFixture[str]
) -> None:
    project, versions = history
    code, document = diff_json(capsys, project, "v1", "v2")
    assert code == 1 and document["same"] is False and list(document["datasets"]) == [KEY]
    found = document["datasets"][KEY]
    assert (found["state"], found["not_compared"], found["params"]) == ("changed", [], [])
    before, after = versions["v1"], versions["v2"]
    told = found["videos"]
    assert told["before"] == {"listed": 17, "usable": 17} and told["after"] == {"listed": 18, "usable": 17}
    assert keys(told["added"], "video") == [video_key(ADDED)] and told["removed"] == []
    assert told["rejected"] == [{"video": video_key(BROKEN), "reason": "unreadable"}] and told["accepted"] == []
    hashes = [version["videos"].set_index("video").sha256[video_key(BROKEN)] for version in (before, after)]
    assert told["replaced"] == [{"video": video_key(BROKEN), "before": hashes[0], "after": hashes[1]}]
    usable = [version["split"][version["split"].status == "ok"].set_index("video") for version in (before, after)]
    for name, column in (("resplit", "split"), ("regrouped", "group"), ("relabelled", "label")):
        was, now = (version[column] for version in usable)
        both = was.index.intersection(now.index)
        moved = [
            {"video": video, "before": was[video], "after": now[video]} for video in both if was[video] != now[video]
        ]
        assert sorted(told[name], key=str) == sorted(moved, key=str)
    hold_samples(found["samples"], before, after)
    assert {row["why"] for row in found["samples"]["removed"] if row["video"] == video_key(BROKEN)} == {
        "video rejected: unreadable"
    }
    code, text, _ = diff(capsys, project, "v1", "v2")
    first = text.splitlines()[0]
    assert code == 1 and first == document["sentence"]
    assert first.startswith(
        f"From v1 to v2, {KEY}: 1 video added, 1 whose file changed, 1 no longer usable (unreadable)"
    )
    assert f"{len(found['samples']['added'])} samples added, {len(found['samples']['removed'])} removed" in first


def test_parameters_changed(history: tuple[Path, dict[str, Tables]], capsys: pytest.CaptureFixture[str]) -> None:
    project, versions = history
    code, document = diff_json(capsys, project, "v2")  # against the workspace, which is as v3
    found = document["datasets"][KEY]
    assert code == 1 and document["after"] == {"name": "the workspace", "commit": None}
    assert found["params"] == [
        {"name": "sample.every", "before": 5, "after": 8},
        {"name": "shard.jpeg_quality", "before": 95, "after": 80},
    ]
    lists = [name for name, value in found["videos"].items() if value and name not in ("before", "after")]
    assert lists == [] and found["recipe"] == {"removed": [], "added": []}
    hold_samples(found["samples"], versions["v2"], versions["v3"])
    assert found["samples"]["replaced"]
    cells = ["split", "label"]
    was, now = (versions[tag]["quotas"].set_index(cells) for tag in ("v2", "v3"))
    changed = {
        (row["split"], row["label"], row["what"]): (row["before"], row["after"]) for row in found["quotas"]["changed"]
    }
    assert changed == {
        (*place, what): (was[what][place], now[what][place])
        for place in was.index
        for what in facts.QUOTA
        if was[what][place] != now[what][place]
    }
    files = json.loads((project / f"data/shard/{KEY}/manifest.json").read_text())["files"]
    tars = [name for name in files if name.endswith(".tar")]
    assert found["shards"]["changed"] == sorted(tars)  # every picture is another one
    assert found["shards"]["bytes_to_fetch"] == sum(files[name]["bytes"] for name in tars)
    _, text, _ = diff(capsys, project, "v2", "v3")
    assert "sample.every 5 -> 8, shard.jpeg_quality 95 -> 80" in text.splitlines()[0]
    more = len(found["samples"]["removed"]) - describe.EXAMPLES
    assert more > 0 and f"    and {more} more; --json lists them all" in text
    title = next(number for number, line in enumerate(text.splitlines()) if "Samples removed: " in line)
    assert text.splitlines()[title + 1].split() == ["sample", "split", "class", "now"]


def test_parameters_that_were_not_built_are_no_difference(
    history: tuple[Path, dict[str, Tables]], clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change_params(clone, {"sample.every": 11, f"datasets.{KEY}.methods": ["Celeb-synthesis"]})
    note = f"asks for datasets.{KEY}.methods ['Celeb-synthesis'], sample.every 11"
    mine = f"params.yaml of the workspace {note}, not yet built: run `dvc repro`"
    code, document = diff_json(capsys, clone, "v3")
    assert code == 0 and document["same"] is True
    assert document["datasets"][KEY] == document["datasets"][KEY] | {"state": "same", "params": [], "notes": [mine]}
    assert f"note: {mine}" in diff(capsys, clone, "v3")[1]
    _, document = diff_json(capsys, clone, "v2")
    assert [knob["name"] for knob in document["datasets"][KEY]["params"]] == ["sample.every", "shard.jpeg_quality"]
    assert document["datasets"][KEY]["params"][0]["after"] == 8
    diff(capsys, clone, "v3", "--html", str(clone / "page.html"))
    assert html.escape(mine) in (clone / "page.html").read_text().replace("&#39;", "&#x27;")
    run(clone, "git", "-c", "user.name=Tester", "-c", "user.email=t@example.com", "commit", "-qam", "unbuilt")
    _, document = diff_json(capsys, clone, "HEAD", "HEAD")
    assert document["datasets"][KEY]["notes"] == [f"params.yaml of HEAD {note}, not built there"]


def test_the_same(history: tuple[Path, dict[str, Tables]], capsys: pytest.CaptureFixture[str]) -> None:
    code, text, _ = diff(capsys, history[0], "v3")
    assert code == 0 and text == f"v3 and the workspace have the same datasets: {KEY}.\n"
    code, document = diff_json(capsys, history[0], "v3", "v3")
    assert code == 0 and document["same"] is True and document["before"] == document["after"]
    assert document["datasets"][KEY]["state"] == "same"


def test_backwards_is_the_mirror_image(
    history: tuple[Path, dict[str, Tables]], capsys: pytest.CaptureFixture[str]
) -> None:
    forth, back = (diff_json(capsys, history[0], *tags)[1]["datasets"][KEY] for tags in (("v1", "v2"), ("v2", "v1")))
    assert keys(back["videos"]["removed"], "video") == keys(forth["videos"]["added"], "video")
    assert back["videos"]["accepted"] == forth["videos"]["rejected"]
    assert keys(back["samples"]["added"]) == keys(forth["samples"]["removed"])
    assert keys(back["samples"]["removed"]) == keys(forth["samples"]["added"])


# --- from elsewhere --------------------------------------------------------------------------------------------------


def test_from_a_clone_that_has_only_a_remote(
    history: tuple[Path, dict[str, Tables]], clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there, here = (diff_json(capsys, project, "v1", "v3") for project in (history[0], clone))
    assert here == there
    assert not (clone / "data/shard").exists()


def test_between_projects(
    history: tuple[Path, dict[str, Tables]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = str(history[0])
    code, document = diff_json(capsys, tmp_path, "v1", "v2", "--repo-a", project, "--repo-b", project)
    assert code == 1 and document["before"]["name"] == f"v1 of {project}"
    assert document["datasets"] == diff_json(capsys, history[0], "v1", "v2")[1]["datasets"]
    assert diff(capsys, history[0], "v3", "--repo-a", project)[0] == 0


# --- what cannot be compared -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["v9"], "v9 cannot be opened: unknown Git revision 'v9'"),
        (["v1", "--repo-b", "nowhere"], "nowhere cannot be opened"),
        (["v1~1", "v1~1"], "nothing of v1~1 and v1~1 can be compared: no stage has run at either"),
        (["v1~1", "v1"], f"can be compared: videos: v1~1 has no data/index/{KEY}/videos.parquet (and 4 more reasons)"),
        (["v1", "--html", "."], ". is a folder"),
    ],
)
def test_errors_are_one_line(
    history: tuple[Path, dict[str, Tables]],
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    code, out, err = diff(capsys, history[0], *arguments)
    assert code == 2 and not out and err.startswith("error: ") and message in err and err.count("\n") == 1


def test_what_one_side_lacks_is_said(
    history: tuple[Path, dict[str, Tables]], clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = shutil.copytree(history[0].parent / "store", clone.parent / "store")
    use_remote(clone, str(store))
    lost = run(clone, "dvc", "list", ".", f"data/extract/{KEY}", "--rev", "v3", "--show-hash", "--json").stdout
    hashes = {entry["path"]: entry["md5"] for entry in json.loads(lost)}
    for table in ("frames.parquet", "quotas.parquet"):
        (store / "files/md5" / hashes[table][:2] / hashes[table][2:]).unlink()
    code, document = diff_json(capsys, clone, "v3", "v3")
    found = document["datasets"][KEY]
    assert (code, document["same"], found["state"]) == (2, None, "same")  # nothing differs, as far as can be seen
    assert [reason.split(":")[0] for reason in found["not_compared"]] == ["quotas", "recipe"]
    assert all("neither in the cache nor on the remote" in reason for reason in found["not_compared"])
    code, document = diff_json(capsys, clone, "v2", "v3")
    found = document["datasets"][KEY]
    assert code == 1 and found["quotas"] is None and found["samples"]["added"] and found["samples"]["removed"]
    assert {row["why"] for row in found["samples"]["removed"]} == {None}  # v3 could say
    assert None not in {row["why"] for row in found["samples"]["added"]}
    assert any(reason.startswith("why samples changed: ") for reason in found["not_compared"])
    text = diff(capsys, clone, "v2", "v3")[1]
    assert "not everything could be compared" in text.splitlines()[0] and "Samples removed: " in text


def test_datasets_that_are_no_mapping(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change_params(clone, {"datasets": ["one", "two"]})
    code, out, err = diff(capsys, clone, "v1")
    assert code == 2 and not out and err.count("\n") == 1
    assert "params.yaml of the workspace: `datasets` must be a mapping of keys to entries" in err


def test_datasets_that_come_and_go(
    history: tuple[Path, dict[str, Tables]], clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = history[1]["v1"]["samples"]
    change_params(clone, {f"datasets.{KEY}": ..., "datasets.other": {"layout": "ffpp", "root": "data/raw/other"}})
    code, document = diff_json(capsys, clone, "v1")
    states = {key: dataset["state"] for key, dataset in document["datasets"].items()}
    assert code == 1 and states == {"other": "added", KEY: "removed"}
    held = f"17 usable videos, {len(samples)} samples"
    assert document["sentence"] == (
        f"From v1 to the workspace, other: added as a whole; {KEY}: removed as a whole ({held})."
    )
    found = document["datasets"][KEY]
    assert found["videos"] == {"before": {"listed": 17, "usable": 17}, "after": {"listed": 0, "usable": 0}}
    assert (found["samples"]["before"], found["samples"]["after"]) == (len(samples), 0)
    cells = {(cell["split"], cell["label"]): cell["before"] for cell in found["samples"]["cells"]}
    assert cells == samples.groupby(["split", "label"], observed=True).size().to_dict()
    back = diff(capsys, clone, "v1", "--html", str(clone / "page.html"))
    page = (clone / "page.html").read_text()
    assert back[0] == 1 and "The whole dataset was removed." in page and not embedded(page)
    assert f"samples: {len(samples)} -> 0" in diff(capsys, clone, "v1")[1]


# --- the page --------------------------------------------------------------------------------------------------------


def embedded(page: str) -> list[bytes]:
    return [base64.b64decode(found) for found in re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)]


def test_page_shows_the_pictures_that_changed_and_fetches_no_others(
    history: tuple[Path, dict[str, Tables]],
    clone: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pictures, "EACH", 4)
    _, versions = history
    with counting(history[0].parent / "store") as (url, sent):
        use_remote(clone, url)
        diff(capsys, clone, "v2", "v3")
        for_tables = sum(sent)
        code, out, _ = diff(capsys, clone, "v2", "v3", "--html", str(clone / "page.html"))
        for_page = sum(sent) - for_tables
    assert code == 1 and out.startswith("From v2 to v3, ") and out.count("\n") == 1
    page = (clone / "page.html").read_text()
    shown = [sha256_of_bytes(jpeg) for jpeg in embedded(page)]
    was, now = (
        dict(zip(versions[tag]["samples"].key, versions[tag]["samples"].sha256, strict=True)) for tag in ("v2", "v3")
    )
    replaced, added, removed = shown[:8], shown[8:12], shown[12:]
    pairs = {(was[key], now[key]) for key in was.keys() & now if was[key] != now[key]}
    assert {*zip(replaced[::2], replaced[1::2], strict=True)} <= pairs and len(set(replaced)) == 8
    assert set(added) <= {now[key] for key in now.keys() - was} and len(set(added)) == 4
    assert set(removed) <= {was[key] for key in was.keys() - now} and len(set(removed)) == 4
    assert sum(map(len, embedded(page))) + for_tables >= for_page  # tables again (less what DVC kept), and the pictures
    assert sum(map(len, embedded(page))) < for_page
    assert "<script" not in page and "http" not in re.sub(r"base64,[^\"]+", "", page)


def test_page_is_the_same_every_time_and_can_leave_pictures_out(
    history: tuple[Path, dict[str, Tables]],
    clone: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("one.html", "two.html"):
        diff(capsys, history[0], "v2", "v3", "--html", str(clone / name))
    assert (clone / "one.html").read_bytes() == (clone / "two.html").read_bytes()
    assert embedded((clone / "one.html").read_text())
    shutil.copy(history[0] / "dvc.lock", clone / "dvc.lock")
    change_params(clone, {"report.pictures": False})
    diff(capsys, clone, "v2", "--html", str(clone / "three.html"))
    page = (clone / "three.html").read_text()
    assert not embedded(page) and "Pictures are left out" in page and "sample.every" in page


def test_a_picture_out_of_reach_is_said(
    history: tuple[Path, dict[str, Tables]], clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = shutil.copytree(history[0].parent / "store", clone.parent / "store")
    use_remote(clone, str(store))
    for path in store.rglob("*"):
        if path.is_file() and path.read_bytes()[257:262] == b"ustar":
            path.chmod(0o644)
            path.write_bytes(bytes(path.stat().st_size))
    code, _, _ = diff(capsys, clone, "v2", "v3", "--html", str(clone / "page.html"))
    page = (clone / "page.html").read_text()
    assert code == 1 and not embedded(page) and "is not what samples.parquet says" in page
