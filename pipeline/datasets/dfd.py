"""DeepFakeDetection (Dufour, Gully et al., Google and Jigsaw, 2019), which comes in the tree of FaceForensics++.

28 paid actors in several scenes (`<actor>__<scene>`). A fake `<target>_<donor>__<scene>__<8 characters>` is recording
`<target>__<scene>` with the face of actor donor. Label: the folder alone. No split was ever published. A fake may show
several people of whom one is forged, and its mask may be shorter than the video.
"""

import re

from pipeline.datasets import Count, Layout, Lists, Record, ffpp, no_lists
from pipeline.tables import FAKE, REAL

ORIGINAL = re.compile(
    r"original_sequences/actors/(?P<compression>raw|c23|c40)/videos/(?P<name>(?P<actor>\d{2})__\w+)\.mp4"
)
MANIPULATED = re.compile(
    r"manipulated_sequences/DeepFakeDetection/(?P<compression>raw|c23|c40)/videos/"
    r"(?P<name>(?P<target>\d{2})_(?P<donor>\d{2})__(?P<scene>\w+)__[0-9A-Z]{8})\.mp4"
)
# The mirror on Kaggle does without levels and does not say which compression it holds; it is taken for c23.
MIRROR = (
    (rf"DFD_original[ _]sequences/{ffpp.FLAT}", "original_sequences/actors/c23/videos/"),
    (
        rf"DFD_manipulated[ _]sequences/(?:DFD_manipulated[ _]sequences/)?{ffpp.FLAT}",
        "manipulated_sequences/DeepFakeDetection/c23/videos/",
    ),
)


def recognise(path: str, lists: Lists) -> Record | None:
    """Read compression, actors and scene from the path."""
    if match := ORIGINAL.fullmatch(path):
        return Record(
            name=match["name"],
            method="actors",
            label=REAL,
            compression=match["compression"],
            recording=f"dfd/{match['name']}",
            person=f"dfd/{match['actor']}",
        )
    if match := MANIPULATED.fullmatch(path):
        recording = f"{match['target']}__{match['scene']}"
        return Record(
            name=match["name"],
            method="DeepFakeDetection",
            label=FAKE,
            compression=match["compression"],
            recording=f"dfd/{recording}",
            person=f"dfd/{match['target']}",
            donor_person=f"dfd/{match['donor']}",
            original=f"original_sequences/actors/{match['compression']}/videos/{recording}.mp4",
            mask=f"manipulated_sequences/DeepFakeDetection/masks/videos/{match['name']}.mp4",
        )
    return None


LAYOUTS = {
    "dfd": Layout(
        "DeepFakeDetection",
        no_lists,
        recognise,
        (*ffpp.REARRANGED, *MIRROR),
        sidecars=(
            *ffpp.SIDECARS,
            (
                rf"(original_sequences/youtube|manipulated_sequences/({'|'.join(ffpp.METHODS)})|splits)/.*"
                rf"|{ffpp.CONVERSION}",
                "of FaceForensics++: see the layout ffpp",
            ),
        ),
        counts=tuple(
            Count(videos, method=method, compression=compression)
            for method, videos in (("actors", 363), ("DeepFakeDetection", 3068))
            for compression in ffpp.COMPRESSIONS
        ),
    )
}
