"""Sets of images whose class folders give the label: two of Kaggle's, and any other of torchvision's ImageFolder form.

- `openforensics_kaggle`: kaggle.com/datasets/manjilkarki/deepfake-and-real-images, faces of OpenForensics (Le et al.,
  ICCV 2021) as {Train,Validation,Test}/{Real,Fake}/*.jpg.
- `faces_140k`: kaggle.com/datasets/xhlulu/140k-real-and-fake-faces, FFHQ and StyleGAN as
  {train,valid,test}/{real,fake}/*.jpg. Its train.csv, valid.csv and test.csv say 1 = real.
- `image_folder`: [<split>/]<class>/..., with the usual words for both. Images in the class folder are single images,
  those in a deeper folder are the frames of one video.

ImageFolder numbers classes in alphabetical order, which makes Fake 0 and Real 1; here real is 0 and fake is 1. File
names repeat across splits, so the name of an image holds the split. Sources and persons are not published.
"""

import re
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from posixpath import basename, dirname, splitext

from pipeline.datasets import Count, Layout, Lists, Record, media
from pipeline.tables import FAKE, REAL

SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
LABEL_WORDS = dict.fromkeys(["real", "original", "authentic", "genuine", "pristine", "0_real"], REAL) | dict.fromkeys(
    ["fake", "deepfake", "manipulated", "synthetic", "generated", "1_fake"], FAKE
)
OPENFORENSICS = re.compile(r"(?P<split>Train|Validation|Test)/(?P<kind>Real|Fake)/(?P<image>[^/]+)")
FACES_140K = re.compile(r"(?P<split>train|valid|test)/(?P<kind>real|fake)/(?P<image>[^/]+)")
IMAGE_FOLDER = re.compile(
    rf"(?:(?P<split>{'|'.join(SPLIT_WORDS)})/)?(?P<kind>{'|'.join(LABEL_WORDS)})/(?P<image>.+)",
    re.IGNORECASE | re.ASCII | re.DOTALL,  # ASCII: else an odd letter such as U+017F would count as an s
)


def read_lists(files: Mapping[str, Path]) -> Lists:
    """Note which paths without extension are not unique: of two images, or of an image and a folder or another file."""
    images = [path for path in files if _is_image(path)]
    stems = Counter(splitext(image)[0] for image in images)
    others = {dirname(image) for image in images} | files.keys()
    return Lists(content={"doubled": {stem for stem, times in stems.items() if times > 1 or stem in others}})


def _is_image(path: str) -> bool:
    return media(path) == "images" and not basename(path).startswith(".")


def recognise(pattern: re.Pattern[str], path: str, lists: Lists) -> Record | None:
    """Read split, class and name from a path that fits `pattern`."""
    match = pattern.fullmatch(path)
    if match is None or not _is_image(path):
        return None
    name = match["image"]
    if "/" in name:
        name = dirname(name)  # a frame; the folder is the video
    elif splitext(path)[0] not in lists.content["doubled"]:
        name = splitext(name)[0]
    return Record(
        name=f"{match['split']}/{name}" if match["split"] else name,
        method=match["kind"],
        label=LABEL_WORDS[match["kind"].lower()],
        official_split=SPLIT_WORDS[match["split"].lower()] if match["split"] else None,
    )


LAYOUTS = {
    "openforensics_kaggle": Layout(
        "OpenForensics faces on Kaggle",
        read_lists,
        partial(recognise, OPENFORENSICS),
        counts=(
            Count(140_002, "train", certain=False),
            Count(39_428, "val", certain=False),
            Count(5_413, "test", REAL, certain=False),
            Count(5_492, "test", FAKE, certain=False),
        ),
    ),
    "faces_140k": Layout(
        "140k Real and Fake Faces",
        read_lists,
        partial(recognise, FACES_140K),
        sidecars=((r"(?:train|valid|test)\.csv", "list of images; the folders say the same"),),
        counts=tuple(
            Count(images, split, label, certain=False)
            for split, images in (("train", 50_000), ("val", 10_000), ("test", 10_000))
            for label in (REAL, FAKE)
        ),
    ),
    "image_folder": Layout(
        "images in class folders",
        read_lists,
        partial(recognise, IMAGE_FOLDER),
        rearranged=((rf"(?ia:({'|'.join(LABEL_WORDS)})/({'|'.join(SPLIT_WORDS)})/)", r"\2/\1/"),),
    ),
}
