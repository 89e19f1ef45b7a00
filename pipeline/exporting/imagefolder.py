"""Class folders as torchvision's ImageFolder reads them: by video, flat, and flat and balanced.

Three trees under the names that common notebooks give to their steps: every sampled frame (`frames`), the same under
flat names (`frames_flattened`), the balanced choice (`frames_reduced`). Here the choice is made before anything is
decoded, so that only chosen frames exist as pictures: the three hold the same ones, linked, not copied.
"""

from pathlib import Path

from pipeline.engines import Run
from pipeline.exporting.manifest import Table, places, write_manifest
from pipeline.exporting.pictures import write_pictures
from pipeline.exporting.source import Source
from pipeline.tables import CLASSES

README = """Pictures of the dataset {key} in class folders: <tree>/<split>/<real|fake>/...

frames             one folder per video, files named by the index of the frame; {manifest} has one row per picture
frames_flattened   one file per picture, named by its flat key
frames_reduced     as frames_flattened: only the frames that the quotas chose exist as pictures

The three trees are names of the same files (hard links): change none in place.
torchvision's ImageFolder numbers class folders alphabetically: here fake = 0 and real = 1, in Veriframe real = 0 and
fake = 1. What the terms of the source dataset forbid, above all passing it on, they forbid for these pictures too.
"""


def export(source: Source, out: Path, run: Run, table: Table) -> None:
    """Write the three trees below `out`, frames/manifest.* and README.txt."""
    samples = source.samples
    cells = [f"{split}/{CLASSES[label]}" for split, label in zip(samples.split, samples.label, strict=True)]
    by_video = [f"{cell}/{place}" for cell, place in zip(cells, places(source), strict=True)]
    flat = [f"{cell}/{key}.jpg" for cell, key in zip(cells, samples.key, strict=True)]
    trees = {"frames": by_video, "frames_flattened": flat, "frames_reduced": flat}
    write_pictures(source, out, [[f"{tree}/{path}" for path in paths] for tree, paths in trees.items()], run)
    write_manifest(source, by_video, out / "frames", table)
    text = README.format(key=source.key, manifest=f"frames/manifest.{table}")
    (out / "README.txt").write_text(text, encoding="utf-8", newline="\n")
