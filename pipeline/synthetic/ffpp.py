"""The synthetic FaceForensics++ at c23: originals, five methods, and the three split files.

Planted fault, there at every scale: `TRUNCATED` breaks off after 60 % of its bytes, so that its index is missing.
"""

import json

from pipeline.synthetic.dataset import FORMATS, Tree, Video
from pipeline.synthetic.forgery import Forgery
from pipeline.synthetic.recordings import Recording

METHODS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter")
FRAMES = 21
TRUNCATED = "manipulated_sequences/FaceShifter/c23/videos/000_001.mp4"


def plan(seed: int, scale: float) -> Tree:
    """Return the dataset of `seed`; at scale 1: 12 sequences in 3 train, 1 val and 2 test pairs, 60 fakes."""
    pairs = {"train": max(round(3 * scale), 2), "val": max(round(scale), 1), "test": max(round(2 * scale), 1)}
    recordings = {}
    for number in range(2 * sum(pairs.values())):
        width, height, fps, _ = FORMATS[number % len(FORMATS)]
        sequence = f"{seed} ffpp {number:03d}"
        recordings[f"{number:03d}"] = Recording(sequence, (sequence,), width, height, fps, FRAMES)
    videos = [
        Video(f"original_sequences/youtube/c23/videos/{name}.mp4", recording) for name, recording in recordings.items()
    ]
    names = list(recordings)
    for target, donor in [*zip(names[::2], names[1::2], strict=True), *zip(names[1::2], names[::2], strict=True)]:
        for method in METHODS:
            path = f"manipulated_sequences/{method}/c23/videos/{target}_{donor}.mp4"
            kept = 0.6 if path == TRUNCATED else 1.0
            videos.append(Video(path, recordings[target], Forgery(method, recordings[donor]), kept))
    files = {}
    first = 0
    for split, count in pairs.items():
        # As in the official lists, a pair is written in either order.
        couples = [names[2 * pair : 2 * pair + 2][:: 1 if pair % 2 else -1] for pair in range(first, first + count)]
        files[f"splits/{split}.json"] = json.dumps(couples, indent=2).encode()
        first += count
    return Tree(videos, files, crf=23)
