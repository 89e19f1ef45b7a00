"""A dataset card as the Hugging Face Hub reads it: YAML front matter, then text for people.

Format: https://github.com/huggingface/hub-docs/blob/main/datasetcard.md. Paths in it are relative to a folder that
holds the card beside the files of data/shard/<key>, as `veriframe export huggingface` makes it.
"""

import re
from typing import Any

from pipeline.cards import uses, words
from pipeline.cards.facts import Facts, Row
from pipeline.cards.markdown import bullets, code, document, paragraphs, sections, table
from pipeline.provenance import LINKS
from pipeline.tables import SPLITS

# The .json member of a sample, as shards.py writes it: arrow types by name.
MEMBER = dict.fromkeys(("dataset", "group", "method", "split", "video"), "string")
MEMBER |= {"frame": "int64", "label": "int64", "pts": "int64", "time_s": "float64"}
SIZES = [(10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M")]
SIZES += [(10**8, "10M<n<100M"), (10**9, "100M<n<1B")]

LOADING = """\
With Hugging Face `datasets`:

```python
from datasets import load_dataset

samples = load_dataset("path/to/this/folder", split="{split}")
picture, label = samples[0]["jpg"], samples[0]["json"]["label"]
```

With `webdataset`:

```python
from glob import glob

import webdataset

tars = sorted(glob("path/to/this/folder/{split}/*.tar"))
pairs = webdataset.WebDataset(tars, shardshuffle=False).decode("pil").to_tuple("jpg", "json")
picture, facts = next(iter(pairs))
```

With Veriframe, shuffled and split over processes if asked:

```python
from pipeline.reading import open_dataset

samples = open_dataset("path/to/this/folder", split="{split}")
picture, row = samples[0]
label = samples.table["label"].iloc[row]
```

The table alone, with `mlcroissant`:

```python
import mlcroissant

rows = mlcroissant.Dataset("path/to/this/folder/croissant.json").records("samples")
```"""
VERIFYING = """\
`manifest.json` has size and SHA-256 of every file:

```python
import hashlib
import json
from pathlib import Path

folder = Path("path/to/this/folder")
for name, file in json.loads((folder / "manifest.json").read_text())["files"].items():
    with (folder / name).open("rb") as content:
        assert hashlib.file_digest(content, "sha256").hexdigest() == file["sha256"], name
```

In the repository it comes from, `veriframe verify` does this and more. The manifest of data/shard/{key} there has the
SHA-256 `{sha256}`."""


def card(facts: Facts) -> str:
    """Return README.md of a dataset: front matter and text."""
    return document(front_matter(facts), text(facts))


def front_matter(facts: Facts) -> dict[str, Any]:
    """Return the card's metadata; splits without a picture are left out, because no loader could infer anything."""
    filled = [row for row in facts.splits if row["samples"]]
    matter: dict[str, Any] = _license(facts)
    matter |= {
        "pretty_name": words.title(facts),
        "tags": ["deepfake-detection", "face-forgery", "media-forensics", "webdataset"],
        "task_categories": ["image-classification", "video-classification"],
        "size_categories": [size_category(facts.samples)],
        "annotations_creators": ["machine-generated" if facts.source.rendered else "found"],
        "source_datasets": ["original"] if facts.source.rendered else [f"extended|other-{facts.entry.layout}"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": row["split"], "path": _data_files(facts, row)} for row in filled],
            }
        ],
        "dataset_info": {
            "features": _features(facts),
            "splits": [
                {"name": row["split"], "num_bytes": row["bytes"], "num_examples": row["samples"]} for row in filled
            ],
            "download_size": sum(row["bytes"] for row in filled),
            "dataset_size": sum(row["bytes"] for row in filled),
        },
    }
    return matter if facts.source.rendered else matter | _gate(facts)


def size_category(samples: int) -> str:
    """Return the Hub's word for a number of samples, as `1K<n<10K`."""
    return next((word for limit, word in SIZES if samples < limit), "1B<n<10B")


def text(facts: Facts) -> str:
    """Return the card's text as Markdown."""
    contents = {
        "Contents": _contents(facts),
        "How it was made": _making(facts),
        "What is left out": _left_out(facts),
        "What splits share": _shared(facts),
        "What gives the label away": paragraphs(words.shortcut(name, facts) for name in facts.shortcuts),
        "Source, licence and people": _source(facts),
        "Use": paragraphs(["What it is for:", bullets(uses.INTENDED), "What would be misuse:", bullets(uses.MISUSE)]),
        "Limits": bullets(words.limits(facts)),
        "Load it": _loading(facts),
        "Verify it": _verifying(facts),
        "Cite it": f"```\n{words.citation(facts)}\n```",
    }
    return f"# {words.title(facts)}\n\n{words.introduction(facts)}\n\n{sections(contents)}\n"


# --- front matter ----------------------------------------------------------------------------------------------------


def _license(facts: Facts) -> dict[str, Any]:
    licence = facts.licence
    if licence.spdx:
        return {"license": licence.name.lower()}
    link = {"license_link": licence.url} if licence.url else {}
    return {"license": "other", "license_name": re.sub(r"[^a-z0-9.]+", "-", licence.name.lower()).strip("-"), **link}


def _data_files(facts: Facts, row: Row) -> str | list[str]:
    """Return a pattern of the split's tars, or the names of the filled ones where some are empty."""
    return row["filled"] if row["filled"] != row["tars"] else f"{row['split']}/*.tar"


def _features(facts: Facts) -> list[dict[str, Any]]:
    members: list[dict[str, Any]] = [{"name": name, "dtype": kind} for name, kind in MEMBER.items()]
    if facts.extract.faces != "none":
        members += [{"name": "chosen_by", "dtype": "string"}]
        members += [{"name": name, "list": "int64"} for name in ("box", "landmarks")]
    return [
        {"name": "jpg", "dtype": "image"},
        {"name": "json", "struct": sorted(members, key=lambda member: str(member["name"]))},
        {"name": "__key__", "dtype": "string"},
        {"name": "__url__", "dtype": "string"},
    ]


def _gate(facts: Facts) -> dict[str, Any]:
    """Return what people agree to before the Hub gives them pictures of real people."""
    fields = {"Name": "text", "Institution": "text", "I agree to the above": "checkbox"}
    if facts.source.agreement:
        fields[f"I was granted access to {facts.source.title} by its owners"] = "checkbox"
    return {"extra_gated_prompt": uses.PLEDGE, "extra_gated_fields": fields}


# --- text ------------------------------------------------------------------------------------------------------------


def _contents(facts: Facts) -> str:
    cells = table(
        ["split", "class", "pictures", "videos", "provenance groups"],
        [
            [words.NAMES[row["split"]], row["class"], row["samples"], row["videos"], row["groups"]]
            for row in facts.cells
        ],
    )
    methods = table(
        ["method", "class", *words.NAMES.values()],
        [[code(row["method"]), row["class"], *(row[split] for split in SPLITS)] for row in facts.methods],
    )
    files = (
        f"The pictures lie in {words.count(sum(len(row['tars']) for row in facts.splits), 'WebDataset tar')} "
        f"({_megabytes(sum(row['bytes'] for row in facts.splits))}), each as `<key>.jpg`; {words.members(facts)} "
        "`samples.parquet` lists every picture with its shard, its byte offset there and its SHA-256."
    )
    return paragraphs(
        [
            cells,
            "Pictures by method, under the source's names:",
            methods,
            words.compression(facts),
            files,
            *words.part_taken(facts),
        ]
    )


def _making(facts: Facts) -> str:
    quotas = table(
        ["split", "class", "rule", "candidates", "quota", "decoded", "not usable", "not needed", "kept"],
        [
            [words.NAMES[row["split"]], row["class"], row["rule"].replace("_", " ")]
            + [row[name] for name in ("candidates", "quota", "tried", "failed", "surplus", "kept")]
            for row in facts.cells
        ],
    )
    steps = [words.splitting(facts), *words.selection(facts), *words.pictures(facts)]
    return paragraphs([words.collection(facts), bullets([*steps, words.tools(facts)]), quotas, words.checked(facts)])


def _left_out(facts: Facts) -> str:
    others = f"Other entries of the index (no videos, missing files, not asked for): {words.reasons(facts.left_out)}."
    codes = "Veriframe's docs/findings.md explains each reason."
    return paragraphs([words.missing(facts), *([others] if facts.left_out else []), codes])


def _shared(facts: Facts) -> str:
    rows = [
        [row["kind"].replace("_", " "), LINKS[row["kind"]].meaning, row["known"]]
        + [row[tied] if row["known"] else "not known" for tied in ("test_to_train", "test_to_val", "val_to_train")]
        for row in facts.leaks
    ]
    heads = ["shared", "meaning", "videos it is stated for", "test with train", "test with validation"]
    what = "Videos that share something with a video of another split:"
    return paragraphs([what, table([*heads, "validation with train"], rows), *words.across(facts)])


def _source(facts: Facts) -> str:
    source, licence = facts.source, facts.licence
    where = f"[{source.title}]({source.homepage})" if source.homepage else source.title
    paper = f" Paper: {source.citation}." if source.citation else ""
    name = f"[{licence.name}]({licence.url})" if licence.url else licence.name
    return paragraphs(
        [
            f"**Source.** {where}.{paper}",
            f"**Licence of this version.** {name}.",
            f"**Terms of the source.** {source.terms.text} *Known from: {source.terms.basis}.*",
            f"**People.** {source.people.text} *Known from: {source.people.basis}.*",
        ]
    )


def _loading(facts: Facts) -> str:
    split = next((row["split"] for row in facts.splits if row["samples"]), SPLITS[0])
    return LOADING.format(split=split)


def _verifying(facts: Facts) -> str:
    return VERIFYING.format(key=facts.key, sha256=facts.manifest_sha256)


def _megabytes(number: int) -> str:
    return f"{number / 1e9:,.1f} GB" if number >= 1e9 else f"{max(number / 1e6, 0.1):,.1f} MB"
