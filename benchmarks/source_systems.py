"""Report, no claim: the five source systems as published and corrected, on the built-in datasets, several seeds.

Run it from the project's root: `.venv/bin/python benchmarks/source_systems.py [--folder FOLDER] [--out FILE]`.

The presets name datasets that are not here, and networks too large for two cores. So each is applied with a built-in
dataset in place of its own, mobilenet_v2 or resnet18 in place of its network, random weights in place of pretrained
ones, and small pictures, batches and numbers of epochs; all else, the flaws above all, is the preset's. Where it has
several trainings one after the other, only the first is made. The figures say what the flaws do to figures; they say
nothing of what any system reaches on its own data.

With `--plumbing`: each preset with its own network and trainings, one short epoch of each on a handful of pictures, to
see that it runs from end to end.
"""

import json
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from trainings import (
    ROOT,
    Params,
    change,
    interval,
    make_shards,
    read_params,
    run,
    train_and_evaluate,
    with_bounds,
    with_interval,
    write_params,
)

from pipeline import presets
from pipeline.errors import UserError
from pipeline.files import sha256_of_text

# The built-in datasets in place of the preset's own, in their order, and the network in place of its own.
IN_PLACE = {
    "s0": (["synthetic_celeb_df"], "mobilenet_v2"),
    "s1": (["synthetic_ffpp"], "mobilenet_v2"),
    "s2": (["synthetic_dfdc", "synthetic_ffpp"], "resnet18"),
    "s3": (["synthetic_celeb_df"], "resnet18"),
    "s4": (["synthetic_celeb_df", "synthetic_ffpp"], "resnet18"),
}
METHODS = {"synthetic_ffpp": ["Deepfakes"]}  # S1 and S2 have one method there
PRESETS = [f"{system}-{kind}" for system in IN_PLACE for kind in ("published", "corrected")]
DATA = ("datasets", "synthesize", "index", "split", "sample", "reduce", "extract", "check", "shard")
SMALL = {
    "split.max_videos": {"real": None, "fake": None},
    "extract.on_shortfall": "warn",
    "shard.shards": {"train": 1, "val": 1, "test": 1},
    "train.pretrained": "none",
    "train.accumulate": 1,
}
PLUMBING = {"train": 8, "val": 4, "test": 4}  # pictures per class
ALSO = {"s2-published": ["nasnetalarge"], "s2-corrected": ["nasnetalarge"]}  # networks of a system's search


class Job(NamedTuple):
    """One training: of which preset, with what instead of its own, on which datasets."""

    name: str
    params: Params
    keys: list[str]


def main() -> None:
    """Make the data, train every preset with every seed, print the table."""
    arguments = parse()
    with TemporaryDirectory() as temporary:
        folder = (arguments.folder or Path(temporary)).resolve()
        if arguments.plumbing:
            jobs = [job for name in arguments.presets for job in plumbing(name)]
        else:
            seeds = range(arguments.seeds)
            jobs = [small(name, seed, arguments.epochs) for name in arguments.presets for seed in seeds]
        results = list(results_of(jobs, folder, arguments.scale))
    if arguments.out:
        arguments.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(f"\n{runs_table(results) if arguments.plumbing else table(results)}")
    if failed := [result for result in results if "stopped" in result]:
        raise SystemExit(f"error: {len(failed)} of {len(results)} trainings were stopped")


# --- what is run -----------------------------------------------------------------------------------------------------


def applied(name: str) -> tuple[Params, list[str]]:
    """Return params.yaml with a preset laid over it, built-in datasets in place of its own, and these."""
    mine, _ = IN_PLACE[name.partition("-")[0]]
    theirs = list(presets.read(name)["datasets"])
    mine = mine[: len(theirs)]
    document = presets.laid_over(name, dict(zip(theirs, mine, strict=True)))
    params: Params = json.loads(json.dumps(document))
    change(params, SMALL)
    for key in mine:
        params["datasets"][key]["methods"] = METHODS.get(key)
    if name.startswith("s3"):  # its pictures have no ties; the list of the built-in Celeb-DF has some, as the real one
        params["split"]["on_leak"] = "drop"
    if "unmatched_weights" in params["guards"]["allow"]:
        params["train"]["pretrained"] = "weights.pth.tar"  # what `write_unmatched` writes
    for section in sections(params, "sample"):  # the built-in videos have 40 to 100 frames
        for knob, least in (("every", 10), ("count", 5)):
            if section.get(knob):
                section[knob] = max(section[knob], least)
    return params, mine


def small(name: str, seed: int, epochs: int) -> Job:
    """Return a preset at reduced size: as many pictures as there are, in equal numbers, and few epochs."""
    params, keys = applied(name)
    for section in sections(params, "reduce"):
        for split, quota in section.get("quota", {}).items():
            if isinstance(quota, int) and quota > 1:  # 1 stands for pictures that nothing reads
                section["quota"][split] = "none" if split == "test" else "smallest_class"
    train = params["train"]
    changes = {"train.model": IN_PLACE[name.partition("-")[0]][1], "train.phases": [], "train.distill": None}
    changes |= {"shard.size": 128, "train.input_size": 112, "train.batch_size": 16, "train.seed": seed}
    change(params, changes | {"train.epochs": min(train["epochs"], epochs)})
    if train["deal"]:
        train["deal"]["seed"] = seed
    return Job(name, params, keys)


def plumbing(name: str) -> Iterator[Job]:
    """Yield a preset as it is, and with other networks of its search, but for one epoch on a handful of pictures."""
    params, keys = applied(name)
    for section in sections(params, "reduce"):
        for split, quota in section.get("quota", {}).items():
            section["quota"][split] = 1 if quota == 1 else PLUMBING[split]
    train = params["train"]
    short = {"epochs": 1, "batch_size": 4}
    train |= short
    if train["deal"]:  # of so few pictures, one of each class is to be validated on
        train["deal"]["val"] = max(train["deal"]["val"], 0.3)
    for phase in train["phases"]:
        phase |= short | ({"pretrained": "none"} if "pretrained" in phase else {})
    yield Job(name, params, keys)
    for model in ALSO.get(name, []):
        yield Job(name, params | {"train": train | {"model": model}}, keys)


def sections(params: Params, stage: str) -> list[Params]:
    """Return a stage's section and what is laid over it for single datasets."""
    return [params[stage], *(params[stage].get("by_dataset") or {}).values()]


# --- running it ------------------------------------------------------------------------------------------------------


def results_of(jobs: list[Job], folder: Path, scale: float) -> Iterator[dict[str, Any]]:
    """Yield a result per job, saying how it goes on; what a UserError stops has its text under `stopped`."""
    raw, cache = make_raw(folder, scale), folder / "cache"
    started = time.monotonic()
    for done, (name, params, keys) in enumerate(jobs, 1):
        train = params["train"]
        facts = {"preset": name, "model": train["model"], "seed": train["seed"]}
        began = time.monotonic()
        project = folder / sha256_of_text(json.dumps([params[section] for section in DATA]))[:12]
        write_params(project, params)
        (project / "data").mkdir(exist_ok=True)
        if not (project / "data/synthesize").is_symlink():
            (project / "data/synthesize").symlink_to(raw)
        if train["pretrained"] != "none" and not (project / train["pretrained"]).exists():
            write_unmatched(project / train["pretrained"])
        make_shards(project, cache, keys)
        result: dict[str, Any]
        try:
            result = train_and_evaluate(project, cache, keys)
            test = ", ".join(f"{key} {levels['frame']['accuracy']:.3f}" for key, levels in result["test"].items())
            said = f"validation {result['validation']:.3f}, test {test}"
        except UserError as error:
            result = {"stopped": str(error)}
            said = f"stopped: {error}"
        took = time.monotonic() - began
        left = (time.monotonic() - started) * (len(jobs) - done) / done / 60
        print(
            f"{done} of {len(jobs)}: {name} {train['model']} seed {train['seed']}: {said}; {took:.0f} s, "
            f"about {left:.0f} min left",
            flush=True,
        )
        yield facts | {"seconds": round(took)} | result


def make_raw(folder: Path, scale: float) -> Path:
    """Make the built-in raw datasets below `folder` unless they are there; return where they lie."""
    project = folder / "raw"
    params = read_params(ROOT)
    change(params, {"synthesize.scale": scale})
    write_params(project, params)
    for layout in ("celeb_df_v2", "ffpp", "dfdc"):
        if not (project / "data/synthesize" / layout).exists():
            run(project, folder / "cache", "-m", "stages.synthesize", layout)
    return project / "data/synthesize"


def write_unmatched(path: Path) -> None:
    """Write a checkpoint of ReActNet as its authors' carry names: none is of a tensor of MobileNetV2 (system S0)."""
    import torch

    from pipeline.models.reactnet import reactnet_a

    known = reactnet_a(1000).state_dict()
    renamed = {
        f"module.{name.replace('features.', 'feature.').replace('classifier.', 'fc.')}": tensor
        for name, tensor in known.items()
    }
    torch.save({"state_dict": renamed}, path)


# --- what is printed -------------------------------------------------------------------------------------------------


def table(results: list[dict[str, Any]]) -> str:
    """Return a Markdown table: a row per preset and test dataset, the mean of its seeds with a 95 % interval."""
    head = "preset | test of | validation accuracy | test frame accuracy | gap | test video accuracy | video coverage"
    lines = [f"| {head} | frame AUROC, seed 0 | guards lifted |", "|---" * 9 + "|"]
    for name in dict.fromkeys(result["preset"] for result in results):
        runs = [result for result in results if result["preset"] == name and "test" in result]
        for key in runs[0]["test"] if runs else []:
            frames, videos = ([one["test"][key][level] for one in runs] for level in ("frame", "video"))
            validation, accuracy = [one["validation"] for one in runs], [frame["accuracy"] for frame in frames]
            cells = [
                with_interval(validation),
                with_interval(accuracy),
                with_interval([seen - unseen for seen, unseen in zip(validation, accuracy, strict=True)]),
                with_interval([video["accuracy"] for video in videos]),
                f"{interval([video['coverage'] for video in videos])[0]:.2f}",
                with_bounds(frames[0]),
                ", ".join(sorted(set().union(*(one["lifted"] for one in runs)))) or "none",
            ]
            lines.append(f"| {name} | {key} | {' | '.join(cells)} |")
        stopped = [result for result in results if result["preset"] == name and "stopped" in result]
        lines += [f"| {name} seed {one['seed']} | stopped: {one['stopped']} |" + " |" * 7 for one in stopped]
    seeds = len({result["seed"] for result in results})
    lines += ["", f"Mean of {seeds} seeds ± half its 95 % interval (Student's t); the gap is validation less test."]
    lines.append("In brackets the 95 % interval of one training by a bootstrap over provenance groups.")
    return "\n".join(lines)


def runs_table(results: list[dict[str, Any]]) -> str:
    """Return a Markdown table: a row per training, whether it ran to its end."""
    lines = ["| preset | network | epochs | seconds | end | guards lifted |", "|---|---|---|---|---|---|"]
    for result in results:
        end = result.get("stopped", "evaluated")
        row = [result["preset"], result["model"], result.get("epochs", ""), result["seconds"], end]
        lines.append(f"| {' | '.join(map(str, row))} | {', '.join(result.get('lifted', [])) or 'none'} |")
    return "\n".join(lines)


def parse() -> Any:
    """Return what the command line asks for."""
    parser = ArgumentParser(description="The source systems, as published and corrected.", allow_abbrev=False)
    parser.add_argument("presets", nargs="*", default=PRESETS, metavar="PRESET", help="default: all ten")
    parser.add_argument("--plumbing", action="store_true", help="one short epoch of each preset's own network")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each preset (default 3)")
    parser.add_argument("--epochs", type=int, default=6, help="at most, of each training (default 6)")
    parser.add_argument("--scale", type=float, default=2.0, help="number of built-in videos, 0.3 to 20 (default 2)")
    parser.add_argument("--folder", type=Path, help="where to work; what was made stays there for the next run")
    parser.add_argument("--out", type=Path, help="JSON file for all figures")
    return parser.parse_args()


if __name__ == "__main__":
    main()
