"""A synthetic raw dataset: the videos and other files it holds, and how they get to disk."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.engines import local_engine
from pipeline.files import whole_folder
from pipeline.progress import track
from pipeline.synthetic.encoding import BEST_CRF, encode
from pipeline.synthetic.forgery import Forgery, film
from pipeline.synthetic.recordings import Recording

# Width, height, frames per second and length in frames that recordings take in turn. Forgeries take them over from
# their targets, and at scale 1 each makes the same share of the reals and of the fakes: they say nothing about a label.
FORMATS = ((320, 240, 25, 31), (384, 216, 30, 31), (352, 288, 25, 26), (320, 240, 30, 31))


@dataclass(frozen=True)
class Video:
    """One video of a dataset."""

    path: str  # below the dataset's root
    recording: Recording
    forgery: Forgery | None = None
    kept: float = 1.0  # share of the file's bytes that is kept; below 1: a file cut off


@dataclass(frozen=True)
class Tree:
    """All that a raw dataset holds: videos to be rendered, and other files by their paths."""

    videos: list[Video]
    files: dict[str, bytes]
    crf: int = BEST_CRF  # of x264


def write_tree(tree: Tree, out: Path, workers: int) -> None:
    """Render a dataset into the folder `out`, replacing one that is there; whole or not at all.

    The files' bytes do not depend on `workers`. Raises what a video's rendering raised.
    """
    with whole_folder(out) as part, local_engine(workers) as run:
        for path in [*tree.files, *(video.path for video in tree.videos)]:
            (part / path).parent.mkdir(parents=True, exist_ok=True)
        for path, content in tree.files.items():
            (part / path).write_bytes(content)
        jobs = [(part, video, tree.crf) for video in tree.videos]
        for _, result in track(run, _write_video, jobs, f"synthesize {out.name}"):
            if isinstance(result, BaseException):
                raise result


def _write_video(job: tuple[Path, Video, int]) -> None:
    folder, video, crf = job
    content = encode(film(video.recording, video.forgery), video.recording.fps, crf)
    (folder / video.path).write_bytes(content[: int(len(content) * video.kept)])
