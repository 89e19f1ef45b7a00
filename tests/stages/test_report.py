"""The stage report over a made-up project of two datasets with odd names."""

import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from fabricated_project import ODD_NAME, write_params, write_project
from pipeline import tables
from pipeline.errors import UserError
from stages import audit, report

ROOT = Path(__file__).parents[2]
KEYS = ["first", "second"]


def report_again(folder: Path) -> str:
    """Run the stage in this process; return the page."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        report.main()
    return (folder / "reports/index.html").read_text(encoding="utf-8")


class Page(HTMLParser):
    """The page's elements, checked for balance, and its text."""

    VOID = ("meta", "link", "img", "br", "wbr", "path", "circle")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += f" {data}"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    write_project(folder, KEYS)
    _plant(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        audit.main()
    done = subprocess.run(
        [sys.executable, "-m", "stages.report"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder


def _plant(folder: Path) -> None:
    """In the second dataset: larger files and duller crops of fakes, and a test file that the first one learns from."""
    index, frames = folder / "data/index", folder / "data/extract/second/frames.parquet"
    videos = tables.read(index / "second/videos.parquet", tables.VIDEOS)
    videos.loc[videos.label == tables.FAKE, "bytes"] += 2_000_000
    learned = tables.read(index / "first/videos.parquet", tables.VIDEOS)
    tested = videos.index[videos.official_split == "test"][0]
    videos.loc[tested, "sha256"] = learned[learned.official_split == "train"].sha256.iloc[0]
    tables.write(index / "second/videos.parquet", videos, tables.VIDEOS, ["video"])
    crops = tables.read(frames, tables.FRAMES)
    crops.loc[crops.label == tables.FAKE, "sharpness"] *= 0.3
    tables.write(frames, crops, tables.FRAMES, ["key"])


@pytest.fixture(scope="module")
def page(project: Path) -> Page:
    return Page((project / "reports/index.html").read_text(encoding="utf-8"))


def test_nothing_is_fetched(page: Page):
    for tag, attributes in page.elements:
        assert tag not in ("script", "iframe", "object", "embed")
        for name in ("src", "href", "srcset", "poster", "action", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), (tag, attributes)
    assert "--paper" in page.text  # the style sheet is part of the text
    assert not re.search(r"url\(|@import|https?:", page.text)


def test_pictures_have_alternative_text_and_links_a_target(page: Page):
    images = [attributes for tag, attributes in page.elements if tag == "img"]
    assert len(images) >= 8  # of the sheet, and of the errors
    assert all(image["alt"] and image["src"].startswith("data:image/jpeg;base64,") for image in images)
    drawings = [attributes for tag, attributes in page.elements if tag == "svg"]
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert drawings and all(drawing["role"] == "img" and drawing["aria-labelledby"] in ids for drawing in drawings)
    targets = [attributes["href"] for tag, attributes in page.elements if tag == "a"]
    assert targets and all(target.removeprefix("#") in ids for target in targets)


def test_figures_on_the_page_equal_the_tables(project: Path, page: Page):
    text = " ".join(page.text.split())
    for key in KEYS:
        metrics = tables.read(project / f"data/evaluate/{key}/metrics.parquet", tables.METRICS)
        main = metrics.query("level == 'video' and rule == 'mean' and method == 'all' and compression == 'all'")
        auroc = main[main.metric == "auroc"].set_index("subset")
        shortcuts = tables.read(project / "data/audit/shortcuts.parquet", tables.SHORTCUTS)
        every = shortcuts[(shortcuts.dataset == key) & (shortcuts.feature == "all")].set_index("probe")
        for probe in every.itertuples():
            assert f"AUROC {probe.auroc:.3f} ({probe.lower:.3f} to {probe.upper:.3f}), 36 videos in 12" in text
        floor = max(0.5, every.auroc["picture"])
        shown, free = (f"{row['value']:.3f} {row['lower']:.3f}–{row['upper']:.3f}" for _, row in auroc.iterrows())
        assert f"{shown} floor {floor:.3f} {free} 8 videos 88.9 % 8 of 9" in text
        brier = main[(main.metric == "brier") & (main.subset == "all")].value.item()
        assert f"Brier score {brier:.3f}" in text
    assert "train fake 12 6 12 36 none 24 36 2 no_face 2 10 24" in text
    assert "stray: 1" in text and "too_short: 1" in text and "1 without a score: no_face" in text


def test_sections_come_in_the_order_in_which_they_are_read(page: Page):
    sections = [attributes["id"] for tag, attributes in page.elements if tag == "section"]
    order = ["guards", "results", "failures", "limits", "data", "pictures", "audits", "training"]
    assert sections == order
    assert "Fewer than 30 groups: the intervals are rough or missing." in page.text
    assert "Blur" in page.text and "Trained on rows, tested on columns" in page.text


def test_both_probes_are_shown_apart_and_what_each_means(page: Page):
    text = " ".join(page.text.split())
    container, picture = text.split("Container: facts of the file")[1].split("Picture: the floor for every model")
    assert "an interval above 0.5 is a fault of the dataset" in container and "fault of the dataset" not in picture
    assert "It is the floor that every model must beat" in picture
    assert "bytes 1.000" in container and "sharpness 1.000" in picture
    assert "sharpness 1.000" not in container and "bytes 1.000" not in picture
    drawings = [attributes["aria-labelledby"] for tag, attributes in page.elements if tag == "svg"]
    assert {"probe-container", "probe-picture"} <= set(drawings)
    assert [attributes for tag, attributes in page.elements if tag == "path" and attributes["class"] == "floor"]


def test_ties_are_told_in_words(page: Page):
    text = " ".join(page.text.split())
    assert text.count("person: 3 test videos tied to train, 0 to validation; 0 validation videos tied to train") == 4
    assert "content: 1 in test here and in train or validation of first" in text
    assert "1 of first, 1 of test here" in text
    assert "that its test videos are tied to: second (content, with first)." in text


def test_a_subset_is_called_one(project: Path, tmp_path: Path):
    copy = shutil.copytree(project, tmp_path / "copy")
    write_params(copy, KEYS, of="root: data/raw/own, subset: 0.02")
    html = report_again(copy)
    assert html.count("Only 2 % of the provenance groups were taken") == len(KEYS)
    assert "first (2 % of the provenance groups), second (2 % of the provenance groups)" in html
    assert "provenance groups were taken" not in (project / "reports/index.html").read_text(encoding="utf-8")


def test_odd_names_are_shown_as_they_are(page: Page):
    assert ODD_NAME in page.text
    assert 'Face<Swap> & "quotes"' in page.text
    assert "id<1>" in page.text
    assert not [tag for tag, _ in page.elements if tag in ("b", "i", "swap")]


def test_metrics_and_plots_are_written_beside_the_page(project: Path):
    figures = json.loads((project / "reports/metrics/eval.json").read_text())
    assert list(figures) == KEYS
    assert figures["first"]["auroc_lo"] <= figures["first"]["auroc"] <= figures["first"]["auroc_hi"]
    for path in (project / "reports/plots").iterdir():
        assert {row["dataset"] for row in json.loads(path.read_text())} == set(KEYS), path


def test_twice_gives_the_same_bytes(project: Path):
    files = [path for path in sorted((project / "reports").rglob("*")) if path.is_file()]
    before = [path.read_bytes() for path in files]
    report_again(project)
    assert [path.read_bytes() for path in files] == before


def test_without_pictures_no_face_is_on_the_page(project: Path, tmp_path: Path):
    copy = shutil.copytree(project, tmp_path / "copy")
    write_params(copy, KEYS, pictures=False)
    for tar in (copy / "data/shard").rglob("*.tar"):
        tar.unlink()
    html = report_again(copy)
    assert "data:image" not in html and "<img" not in html


def test_guards_that_were_lifted_are_named_near_the_top_and_in_the_limits(project: Path, page: Page, tmp_path: Path):
    assert "No guard was lifted" in page.text
    copy = shutil.copytree(project, tmp_path / "copy")
    card = json.loads((copy / "data/train/model.json").read_text())
    card["guards_lifted"] = {"frame_split": "6 of 9 <groups> lie in two parts"}
    (copy / "data/train/model.json").write_text(json.dumps(card))
    path = copy / "data/evaluate/second/rule.json"
    rule = json.loads(path.read_text()) | {"videos": "reversed_vote", "chosen": "majority"}
    rule["guards_lifted"] = {"reversed_vote": "small leads are inverted"}
    path.write_text(json.dumps(rule))
    metrics = tables.read(path.parent / "metrics.parquet", tables.METRICS)
    metrics["rule"] = metrics.rule.replace("mean", "reversed_vote")
    tables.write(path.parent / "metrics.parquet", metrics, tables.METRICS, ["level", "rule", "subset", "metric"])
    text = " ".join(Page(report_again(copy)).text.split())
    top, _, rest = text.partition("How well resnet10t tells real from fake")[2].partition("Test pictures only")
    assert "frame_split in train 6 of 9 <groups> lie in two parts" in top
    assert "reversed_vote in evaluate second small leads are inverted" in top
    assert "No guard was lifted" not in text
    limits = rest.partition("What may not be concluded")[2].partition("Every figure comes from one training")[0]
    assert "(guard frame_split was lifted)." in limits and "(guard reversed_vote was lifted)." in limits
    assert "in which a small lead decides against itself. The threshold, 0.500, is a majority." in rest


@pytest.mark.parametrize("stage", ["index", "shard", "evaluate"])
def test_missing_dataset_stops_it_and_leaves_the_old_page(project: Path, tmp_path: Path, stage: str):
    copy = shutil.copytree(project, tmp_path / "copy")
    shutil.rmtree(copy / "data" / stage / "second")
    with pytest.raises(UserError, match=rf"^data/{stage}/second: not there; run `dvc repro`"):
        report_again(copy)
    assert (copy / "reports/index.html").read_bytes() == (project / "reports/index.html").read_bytes()
