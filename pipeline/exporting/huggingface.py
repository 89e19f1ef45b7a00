"""A folder that Hugging Face's `datasets` loads, and that can be published as it is: shards, tables and cards."""

import json
import shutil
from pathlib import Path
from typing import Any

from pipeline.cards import croissant
from pipeline.engines import Run
from pipeline.errors import UserError
from pipeline.exporting.pictures import link_or_copy
from pipeline.exporting.source import Source
from pipeline.sharding import manifests, sealing


def export(source: Source, out: Path, run: Run) -> None:
    """Link the files of data/shard/<key> into `out` and write the cards and a manifest of the whole beside them.

    Raises UserError when there are no cards, when they are those of other shards, and for a shard whose bytes are not
    those of its manifest.
    """
    card = Path("data/card") / source.key
    manifest = manifests.read(source.folder / manifests.NAME)
    jsonld = _croissant(card, source.key, manifest["files"])
    for name in manifest["files"]:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        link_or_copy(source.folder / name, out / name)
    shutil.copyfile(card / "README.md", out / "README.md")
    croissant.write(out / "croissant.json", croissant.for_folder(jsonld))
    sealing.seal(out, {name: fact for name, fact in manifest.items() if name not in ("files", "format")}, run)
    written = manifests.read(out / manifests.NAME)["files"]
    if damaged := [name for name, facts in manifest["files"].items() if written[name] != facts]:
        raise UserError(f"{source.folder / damaged[0]} is not as its manifest says; `veriframe verify` tells more")


def _croissant(card: Path, key: str, files: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the Croissant card of the dataset; UserError unless it is there, with README.md, and describes `files`."""
    for name in ("README.md", "croissant.json"):
        if not (card / name).is_file():
            raise UserError(f"{card / name} is missing; run `dvc repro card@{key}` (or `dvc pull`) first")
    try:
        jsonld: dict[str, Any] = json.loads((card / "croissant.json").read_bytes())
        described = {file["sha256"] for file in jsonld["distribution"] if "sha256" in file}
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{card}/croissant.json is damaged; run `dvc repro card@{key}`") from None
    if described != {facts["sha256"] for facts in files.values()}:
        raise UserError(f"{card}/croissant.json describes other shards than {key} has; run `dvc repro card@{key}`")
    return jsonld
