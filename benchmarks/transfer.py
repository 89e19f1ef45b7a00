"""Report, no claim: ImageNet weights against random ones on forgeries of real clips, same budget, several seeds.

Run it from the project's root:
`.venv/bin/python benchmarks/transfer.py --clips FOLDER --weights squeezenet1_0.safetensors [--folder FOLDER]`.

Faces are swapped between the clips (`veriframe synthesize --from-clips`), the stages from index to shard cut the crops,
and squeezenet1_0 is trained on them from the given weights and from random ones, everything else alike. Test people are
in no training video; there are few, and the intervals say what that is worth.
"""

import json
import time
from argparse import ArgumentParser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from trainings import (
    ROOT,
    change,
    make_shards,
    read_params,
    run,
    train_and_evaluate,
    with_bounds,
    with_interval,
    write_params,
)

KEY = "clips"
SETTINGS = {
    "sample.every": 5,
    "shard.shards": {"train": 1, "val": 1, "test": 1},
    "train.datasets": [KEY],
    "train.model": "squeezenet1_0",
    "train.input_size": 112,
    "train.learning_rate": 0.0005,  # ten times as much and squeezenet1_0, which has no BatchNorm, learns nothing
    "train.epochs": 6,
    "train.patience": None,
    "train.keep": "best",
    "train.monitor": "loss",
    "guards.allow": [],
}
FIGURES = ("frame auroc", "frame accuracy", "video auroc", "video accuracy")


def main() -> None:
    """Make the crops, train with each start and seed, print a table."""
    arguments = parse()
    with TemporaryDirectory() as temporary:
        results = measure(arguments, (arguments.folder or Path(temporary)).resolve())
    print(table(results))
    if arguments.out:
        arguments.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def measure(arguments: Any, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the results of every seed by what the training started from."""
    project, cache = folder / "project", folder / "cache"
    params = read_params(ROOT)
    params["datasets"] = {KEY: {"layout": "celeb_df_v2", "root": str(folder / "raw")}}
    change(params, SETTINGS)
    write_params(project, params)
    if not (folder / "raw").exists():
        command = ["synthesize", "--layout", "celeb_df_v2", "--from-clips", str(arguments.clips.resolve())]
        print(run(folder, cache, "-m", "pipeline.cli", *command, "--out", str(folder / "raw")), end="", flush=True)
    make_shards(project, cache, [KEY])
    starts = {"imagenet": str(arguments.weights.resolve()), "random": "none"}
    results: dict[str, list[dict[str, Any]]] = {start: [] for start in starts}
    for seed in range(arguments.seeds):
        for start, pretrained in starts.items():
            change(params, {"train.pretrained": pretrained, "train.seed": seed})
            write_params(project, params)
            began = time.monotonic()
            result = train_and_evaluate(project, cache, [KEY])
            results[start].append(result)
            test = ", ".join(f"{name} {value:.3f}" for name, value in figures(result).items())
            said = f"validation {result['validation']:.3f}; test {test}"
            print(f"seed {seed}, {start}: {said} ({time.monotonic() - began:.0f} s)", flush=True)
    return results


def figures(result: dict[str, Any]) -> dict[str, float]:
    """Return the test figures of one run, by level and name."""
    return {name: result["test"][KEY][name.split()[0]][name.split()[1]] for name in FIGURES}


def table(results: dict[str, list[dict[str, Any]]]) -> str:
    """Return a Markdown table: the seeds' mean with its 95 % interval, and the interval over the people tested."""
    test = next(iter(results.values()))[0]["test"][KEY]
    counted = ", ".join(f"{test[level]['real']} real and {test[level]['fake']} fake {level}s" for level in test)
    names = ("validation accuracy", *(f"test {name}" for name in FIGURES), "test frame auroc of seed 0")
    lines = [f"Test: {counted}.", "", f"| start | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for start, runs in results.items():
        cells = [with_interval([one["validation"] for one in runs])]
        cells += [with_interval([figures(one)[name] for one in runs]) for name in FIGURES]
        cells.append(with_bounds(runs[0]["test"][KEY]["frame"]))
        lines.append(f"| {start} | {' | '.join(cells)} |")
    lines += ["", "± half the 95 % interval over the seeds (Student's t); in brackets the bootstrap over people."]
    return "\n".join(lines)


def parse() -> Any:
    """Return what the command line asks for."""
    parser = ArgumentParser(description="ImageNet weights against random ones.", allow_abbrev=False)
    parser.add_argument("--clips", type=Path, required=True, help="folder of video clips that show faces")
    parser.add_argument("--weights", type=Path, required=True, help="ImageNet weights of squeezenet1_0")
    parser.add_argument("--folder", type=Path, help="where to work; what was made stays there for the next run")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each kind (default 3)")
    parser.add_argument("--out", type=Path, help="JSON file for all figures")
    return parser.parse_args()


if __name__ == "__main__":
    main()
