"""WildDeepfake (Zi et al., ACM MM 2020): sequences of face crops, 224x224 PNG, from videos of the internet.

`{real,fake}_{train,test}/<n>.tar.gz` hold `<n>/{real,fake}/<sequence>/<frame>.png` and are read unpacked where they
lie. A sequence is one video; its frame numbers are not zero padded. The folder gives label and split; the numbers of
archives repeat in all four. There is no validation set.

Neither source videos nor persons are published. Sequences of one archive are taken for one recording: that may tie
more than belongs together, never less, if an archive holds whole videos.
"""

import re

from pipeline.datasets import Count, Layout, Lists, Record, no_lists
from pipeline.tables import FAKE, REAL

FRAME = re.compile(
    r"(?P<folder>(?P<label>real|fake)_(?P<split>train|test))/(?P<archive>[^/]+)/(?P<inner>real|fake)/(?P<sequence>[^/]+)"
    r"/[^/.]+\.(?:png|jpg)"
)
LABELS = {"real": REAL, "fake": FAKE}


def recognise(path: str, lists: Lists) -> Record | None:
    """Read everything from the path; the folder inside the archive must say the same label as the one around it."""
    match = FRAME.fullmatch(path)
    if match is None:
        return None
    agree = match["label"] == match["inner"]
    return Record(
        name="/".join([match["folder"], match["archive"], *([] if agree else [match["inner"]]), match["sequence"]]),
        method=match["label"],
        label=LABELS[match["label"]],
        official_split=match["split"],
        recording=f"wilddeepfake/{match['folder']}/{match['archive']}",
        list_label=LABELS[match["inner"]],
    )


LAYOUTS = {
    "wilddeepfake": Layout(
        "WildDeepfake",
        no_lists,
        recognise,
        rearranged=(  # without the level real|fake inside the archive
            (r"(real|fake)_(train|test)/([^/]+)/(?=(?!real/|fake/)[^/]+/[^/]+\.(?:png|jpg)\Z)", r"\1_\2/\3/\1/"),
        ),
        sidecars=((r"(?:real|fake)_(?:train|test)/[^/]+\.tar\.gz", "archive; unpack it where it lies"),),
        counts=(
            Count(3_409, "train", REAL, certain=False),
            Count(3_099, "train", FAKE, certain=False),
            Count(396, "test", REAL, certain=False),
            Count(410, "test", FAKE, certain=False),
        ),
    )
}
