"""The facts as sentences, shared by both cards: nothing is said here that no table or parameter says."""

from pipeline.cards.facts import Facts, Row
from pipeline.tables import CLASSES

NAMES = {"train": "train", "val": "validation", "test": "test"}
SHARED = {
    "recording": "recording",
    "source_video": "source video",
    "target_person": "target person",
    "donor_person": "donor person",
    "person": "person",
    "content": "file",
}
FEW_GROUPS = 30  # below this many a bootstrap interval is a rough guess
PROBES = {
    "container": "facts of the video files alone (size, rate, length, codec, encoder settings, tags) and no picture",
    "picture": "facts of the crops alone (size of crop and face, sharpness, JPEG size, the detector's confidence)",
}
ALIGNMENTS = {
    "none": "the whole loose crop, squeezed into a square",
    "margin": "an upright square around the face",
    "similarity": "the face turned, scaled and moved so that its landmarks lie where ArcFace's template has them",
}


def count(number: int, thing: str) -> str:
    """Return `1 frame`, `1,200 frames`."""
    plural = thing[:-1] + "ies" if thing.endswith("y") else thing + "es" if thing.endswith("s") else thing + "s"
    return f"{number:,} {thing if number == 1 else plural}"


def listed(words: list[str]) -> str:
    """Return `a`, `a and b`, `a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else "none"


def figure(row: Row) -> str:
    """Return `0.763 (95 % interval 0.633 to 0.888)`, or that there is no figure."""
    if row["auroc"] is None:
        return "no figure, because there are too few videos"
    if row["lower"] is None or row["upper"] is None:
        return f"{row['auroc']:.3f} (too few videos for an interval)"
    return f"{row['auroc']:.3f} (95 % interval {row['lower']:.3f} to {row['upper']:.3f})"


def title(facts: Facts) -> str:
    """Return the dataset's name for people."""
    return f"{facts.source.title}: {'faces' if facts.extract.faces != 'none' else 'frames'} ({facts.key})"


def introduction(facts: Facts) -> str:
    """Return what the dataset is, in one paragraph."""
    videos = {name: sum(row["videos"] for row in facts.cells if row["class"] == name) for name in CLASSES.values()}
    pictures = {name: sum(row["samples"] for row in facts.cells if row["class"] == name) for name in CLASSES.values()}
    what = "face picture" if facts.extract.faces != "none" else "frame"
    made = "rendered and forged by Veriframe" if facts.source.rendered else f"of {facts.source.title}"
    by_class = ", ".join(f"{pictures[name]:,} from {count(videos[name], f'{name} video')}" for name in videos)
    return (
        f"{count(facts.samples, what)} of {facts.shard.size} × {facts.shard.size} pixels, {made}: {by_class}, split "
        f"into train, validation and test, for research on the detection of forged faces. Labels: 0 = real, 1 = fake. "
        f"Every picture was chosen, cut and checked by the Veriframe pipeline, and this text is made from its tables."
    )


def part_taken(facts: Facts) -> list[str]:
    """Return what of the source was not asked for; nothing where all was."""
    said = []
    if facts.entry.subset is not None and facts.entry.subset < 1:
        share = f"{100 * facts.entry.subset:g} %"
        said.append(f"Only {share} of the provenance groups were taken; figures are no figures of the whole dataset.")
    if facts.entry.methods is not None:
        said.append(f"Of the manipulation methods only {listed(facts.entry.methods)} were taken.")
    if facts.entry.compression is not None:
        said.append(f"Of the compression levels only {listed(facts.entry.compression)} were taken.")
    return said


def collection(facts: Facts) -> str:
    """Return where the footage comes from, what of it was found, and how much of that gave pictures."""
    usable, rejected, none = _usable(facts), _sum(facts.rejected), _sum(facts.without_picture)
    origin = (
        "Talking faces were rendered, and some of them forged, by a program; nobody was filmed."
        if facts.source.rendered
        else f"The videos or images come from: {facts.source.title}."
    )
    found = f"The index has {facts.files_found:,} entries: files, and listed files that are missing"
    if others := _sum(facts.left_out):
        found += f"; {others:,} of them {_are(others)} no videos of the dataset, missing, or not asked for"
    return (
        f"{origin} {found}. Of {count(usable + rejected, 'video')} of the dataset {usable:,} {_are(usable)} usable; "
        f"{usable - none:,} of these gave pictures and {none:,} gave none."
    )


def compression(facts: Facts) -> str:
    """Return the compression levels of the videos behind the pictures."""
    if [level for level, _ in facts.compressions] == ["native"]:
        return "Compression level: native (the source names none)."
    if len(facts.compressions) == 1:
        return f"Compression level, by the source's name: {facts.compressions[0][0]}."
    levels = [f"{level} ({count(number, 'picture')})" for level, number in facts.compressions]
    return f"Compression levels, by the source's names: {listed(levels)}."


def members(facts: Facts) -> str:
    """Return what the .json member beside a picture holds."""
    told = "`<key>.json` has its label, method, video, frame and provenance group"
    if facts.extract.faces == "none":
        return f"{told}."
    return (
        f"{told}, and of the face `box` (x, y, width, height) and `landmarks` in pixels of the upright video frame, "
        "not of the picture. Where in the frame a picture was cut stands neither there nor in samples.parquet: "
        f"data/extract/{facts.key}/frames.parquet in the project has it (crop_x, crop_y, crop_width, crop_height: the "
        "loose crop that the picture was made from)."
    )


def missing(facts: Facts) -> str:
    """Return what was rejected and what turned out unusable, with reasons."""
    videos, none, frames = _sum(facts.rejected), _sum(facts.without_picture), _sum(facts.failed)
    of_videos = f": {reasons(facts.rejected)}" if videos else ""
    of_none = f": {reasons(facts.without_picture)}" if none else ""
    of_frames = f": {reasons(facts.failed)}. The next frame in order took the place of each, if there was one"
    return (
        f"{count(videos, 'video')} of the dataset {_are(videos)} not usable{of_videos}. {none:,} of "
        f"{count(_usable(facts), 'usable video')} gave no picture{of_none}. Of {count(facts.decoded, 'frame')} decoded "
        f"{count(frames, 'frame')} {_are(frames)} not usable{of_frames if frames else ''}."
    )


def reasons(rows: list[tuple[str, int]]) -> str:
    """Return `4 no_face, 1 improbable_face`."""
    return ", ".join(f"{number:,} {code}" for code, number in rows)


def splitting(facts: Facts) -> str:
    """Return how videos came into their splits."""
    words = {"official": "by published lists", "carved": "carved"}
    told = []
    for row in facts.splits:
        by = [f"{row[name]:,} {how}" for name, how in words.items() if row[name]]
        told.append(f"{count(row['videos'], 'video')} in {NAMES[row['split']]}" + (f" ({listed(by)})" if by else ""))
    carved = " Carved are whole provenance groups, so that no material is on both sides of a carved border."
    return f"Splits of the usable videos: {listed(told)}." + (
        carved if any(row["carved"] for row in facts.splits) else ""
    )


def selection(facts: Facts) -> list[str]:
    """Return how frames were chosen, and how many of each split and class."""
    if facts.sample.every is not None:
        candidates = (
            "Candidates are all frames"
            if facts.sample.every == 1
            else f"Candidates are every {_nth(facts.sample.every)} frame"
        )
        candidates += " of each video, from the first."
    else:
        candidates = f"Candidates are {count(facts.sample.count or 0, 'frame')} of each video, evenly spaced."
    order = "They are ranked in an order that spreads over methods and videos, and taken until the quota is full."
    if facts.reduce.paired:
        order = "They are ranked so that an original and its forgeries give the same moments, until the quota is full."
    return [candidates, f"{order} {quotas(facts)}"]


def quotas(facts: Facts) -> str:
    """Return the rule of each split in words."""
    rules: dict[str, list[str]] = {}
    for row in {row["split"]: row for row in facts.cells}.values():
        rules.setdefault(_quota(row["rule"], row["min_per_video"]), []).append(NAMES[row["split"]])
    return "; ".join(f"{listed(splits)}: {rule}" for rule, splits in rules.items()).capitalize() + "."


def pictures(facts: Facts) -> list[str]:
    """Return how a frame became a picture."""
    found = facts.extract
    if found.faces == "none":
        faces = "No face was searched for: a picture shows the whole frame."
    else:
        faces = (
            f"Faces were searched for on frames of at most {found.detection_side} pixels; a face counts from "
            f"{found.min_face} pixels and a probability of {found.min_probability:g}."
        )
        if found.boxes == "from_original":
            faces += " A forgery takes the boxes of its original at the same frame, so that both are cut alike."
    shown = ALIGNMENTS[facts.shard.alignment] if found.faces != "none" else "the whole frame, squeezed into a square"
    room = ""
    if found.faces != "none" and facts.shard.alignment != "none":
        room = f" with {100 * facts.shard.margin:g} % room on each side"
    stored = (
        f"A picture shows {shown}{room}, {facts.shard.size} pixels wide, as JPEG of quality {facts.shard.jpeg_quality}."
    )
    return [faces, stored]


def tools(facts: Facts) -> str:
    """Return the versions of decoder and detector that made the pictures."""
    return f"Decoded and searched with {listed(facts.recipes)}." if facts.recipes else "Nothing was decoded."


def leaks(facts: Facts) -> list[str]:
    """Return what test shares with train and validation, and validation with train, one sentence a kind."""
    return [leak(row, facts) for row in facts.leaks]


def leak(row: Row, facts: Facts) -> str:
    """Return one kind's ties as a sentence; where the source does not state it, that nothing is known."""
    shared = SHARED[row["kind"]]
    if not row["known"]:
        return f"Whether videos of different splits share a {shared} is not known: the source does not say."
    told = [
        f"{row[f'{one}_to_{other}']:,} of {NAMES[one]} with {NAMES[other]}"
        for one, other in (("test", "train"), ("test", "val"), ("val", "train"))
        if row[f"{one}_to_{other}"]
    ]
    known = (
        "" if row["known"] == row["usable"] else f" (stated for {row['known']:,} of {count(row['usable'], 'video')})"
    )
    if not told:
        return f"No video shares a {shared} with one of another split{known}."
    return f"Videos that share a {shared}: {listed(told)}{known}."


def across(facts: Facts) -> list[str]:
    """Return what the test videos share with other datasets prepared in the same project."""
    return [
        f"Test shares {count(row['shared'], SHARED[row['kind']])} with train or validation of {row['learned']}: it is "
        f"no test on unknown data for who trains there."
        for row in facts.across
    ]


def shortcut(name: str, facts: Facts) -> str:
    """Return what the probe `container` or `picture` found, and what that means."""
    row = facts.shortcuts[name]
    behind = f"{count(row['videos'], 'video')} in {count(row['groups'], 'provenance group')}"
    told = f"A classifier that sees {PROBES[name]} reaches an AUROC of {figure(row)} over {behind}; 0.5 is chance."
    if row["groups"] < FEW_GROUPS:
        told += " With so few groups the interval is a rough guess."
    if row["lower"] is None or row["upper"] is None:
        return f"{told} There are too few videos to say more."
    if row["lower"] > 0.5:
        meant = {
            "container": "The file alone tells the label, which is a fault of the dataset: a detector may learn it.",
            "picture": "This is the floor: only what a detector reaches beyond it comes from the faces themselves.",
        }
        return f"{told} {meant[name]}"
    if row["upper"] < 0.5:
        return f"{told} Below chance is no shortcut."
    highest = max(row["upper"], 1 - row["lower"])
    return f"{told} The interval holds 0.5: no shortcut was found, but one up to AUROC {highest:.3f} is not excluded."


def checked(facts: Facts) -> str:
    """Return the verdict of the pipeline's checks."""
    verdict = "passed" if facts.verdict["passed"] else "did not pass"
    rules = f"{count(int(facts.verdict['rules']), 'rule')} on counts, keys, labels, splits and crops"
    return f"The data {verdict} the pipeline's {rules}." + (
        f" Warnings: {reasons(facts.warnings)}." if facts.warnings else ""
    )


def limits(facts: Facts) -> list[str]:
    """Return what must not be concluded from figures on this data."""
    told = part_taken(facts)
    if facts.source.rendered:
        told.append("The faces are rendered: figures say that software works, and nothing about real deepfakes.")
    else:
        told.append("It holds these methods, cameras and compressions alone; others may be easier or harder to detect.")
    groups = max((row["groups"] for row in facts.cells if row["split"] == "test"), default=0)
    told.append(f"A class of test has at most {count(groups, 'provenance group')}, which bounds what figures can show.")
    told.append("Labels are those of the source; nobody looked at the pictures again.")
    told.append(
        "Age, sex and skin colour of the people shown are not recorded, so that nothing can be said of fairness."
    )
    if facts.guards_allowed:
        told.append(
            f"The parameters that come with it let networks be trained and evaluated with known faults (lifted guards: "
            f"{', '.join(facts.guards_allowed)}); these are faults of such figures, not of the pictures."
        )
    return told


def citation(facts: Facts) -> str:
    """Return how to cite this version: as asked for, or from its makers and the source's paper."""
    published = facts.published
    if published.cite_as is not None:
        return published.cite_as
    made = (
        f"{listed(published.creators)} ({published.date_published[:4]}): {title(facts)}, version {published.version}."
    )
    return f"{made} Made from: {facts.source.citation}" if facts.source.citation else made


def keywords(facts: Facts) -> list[str]:
    """Return what the dataset is found under."""
    return ["deepfake detection", "face forgery", "media forensics", facts.source.title]


def manipulation(facts: Facts) -> str:
    """Return by which methods the forged videos were made, and by whom."""
    methods = [row["method"] for row in facts.methods if row["class"] == "fake"]
    maker = "Veriframe's renderer" if facts.source.rendered else "the source, not here"
    return f"The forged videos were made by {maker}; methods by the source's names: {listed(methods)}."


def labels(facts: Facts) -> str:
    """Return where the labels come from."""
    origin = "the program that made the video" if facts.source.rendered else "the folders and lists of the source"
    return f"The label of a picture is that of its video, which {origin} gave. No person labelled anything here."


def _quota(rule: str, minimum: int) -> str:
    if rule == "none":
        return "all good frames are kept"
    kept = (
        "each class keeps as many as the rarer one" if rule == "smallest_class" else f"each class keeps {rule} frames"
    )
    return f"{kept}, and of each video at least {minimum}" if minimum else kept


def _usable(facts: Facts) -> int:
    return sum(row["videos"] for row in facts.splits)


def _sum(rows: list[tuple[str, int]]) -> int:
    return sum(number for _, number in rows)


def _nth(number: int) -> str:
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
