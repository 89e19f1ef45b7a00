"""MTCNN (Zhang et al., 2016): three networks in a row, each surer than the one before, with facenet-pytorch's weights.

The way to the networks is not that of facenet-pytorch, whose `MTCNN.detect` spends most of its time on scaling,
cutting and pooling. Here OpenCV scales and cuts, and each level of the pyramid is made from the one before it. Fewer
levels and boxes are looked at; benchmarks/faces.py measures what that loses. Where the search runs on a smaller
picture, the last network looks at the picture itself.

Boxes are float tensors (boxes, 4) on the CPU: left, top, right, bottom in pixels. `owners` (boxes,) says in which
picture of a batch each box lies. What a network says moves by some 1e-6 with threads, batch and processor, so boxes are
in whole pixels throughout: then their overlaps are exact, and which of two goes hardly ever depends on the machine.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from facenet_pytorch import ONet, PNet, RNet
from facenet_pytorch.models.utils.detect_face import batched_nms_numpy
from torch import Tensor
from torchvision.ops import batched_nms

CELL, STRIDE = 12, 2  # pixels; P-Net looks at squares of CELL pixels, STRIDE apart
SHRINK = 0.5  # at most from a level of the pyramid to the next: no face is 1.42 times larger or smaller than a square
PROPOSED, REFINED, CONFIRMED = 0.7, 0.7, 0.7  # probability that a box needs to pass P-Net, R-Net, O-Net
CHUNK = 256  # boxes a network takes at once: bounds memory


class Found(NamedTuple):
    """The faces of one picture: boxes (faces, 4), probabilities (faces,), landmarks (faces, 5, 2) as x, y."""

    boxes: np.ndarray
    probabilities: np.ndarray
    landmarks: np.ndarray


@lru_cache(maxsize=2)
def _networks(device: str) -> tuple[Any, Any, Any]:
    """Return P-Net, R-Net and O-Net on `device`; torch computes in one thread from here on (see faces)."""
    torch.set_num_threads(1)
    torch.backends.cudnn.allow_tf32 = False  # its 10 bits of mantissa would move boxes
    late = {"device": device, "memory_format": torch.channels_last}  # twice as fast on the CPU, but not for P-Net
    return PNet().to(device), RNet().to(**late), ONet().to(**late)


@torch.inference_mode()
def search(pictures: Sequence[np.ndarray], smaller: Sequence[np.ndarray], window: float, device: str) -> list[Found]:
    """Return the faces of each of `pictures`.

    pictures: RGB uint8 (height, width, 3), all of one size; smaller: the same, or scaled down, all of one size: where
    faces are searched for. window: side in pixels of the smallest square that is looked at in `smaller`, from CELL to
    their shorter side; it finds faces from 0.7 of its side on. device: cpu or cuda.
    """
    pnet, rnet, onet = _networks(device)
    nobody = Found(np.zeros((0, 4)), np.zeros(0), np.zeros((0, 5, 2)))
    boxes, owners = _propose(pnet, smaller, window, device)
    if not len(boxes):
        return [nobody] * len(pictures)
    boxes, owners = _refine(rnet, smaller, boxes, owners, device)
    if not len(boxes):
        return [nobody] * len(pictures)
    (height, width), (small_height, small_width) = pictures[0].shape[:2], smaller[0].shape[:2]
    boxes = (boxes * torch.tensor([width / small_width, height / small_height]).repeat(2)).round()
    moves, probabilities, landmarks = _look(onet, pictures, boxes, owners, device)
    boxes = _moved(boxes, moves).round()
    found = []
    for place in range(len(pictures)):
        mine = ((owners == place) & (probabilities >= CONFIRMED)).nonzero()[:, 0]
        kept = mine[batched_nms_numpy(boxes[mine], probabilities[mine], owners[mine], 0.7, "Min")]
        found.append(Found(boxes[kept].numpy(), probabilities[kept].numpy(), landmarks[kept].numpy()))
    return found


@torch.inference_mode()
def confirm(picture: np.ndarray, boxes: np.ndarray, device: str) -> Found:
    """Return what O-Net says of `boxes` (boxes, 4), which stay as they are; it looks at the square around each."""
    squares = _squared(torch.as_tensor(boxes, dtype=torch.float32).reshape(-1, 4))
    owners = torch.zeros(len(squares), dtype=torch.int64)
    _, probabilities, landmarks = _look(_networks(device)[2], [picture], squares, owners, device)
    return Found(boxes, probabilities.numpy(), landmarks.numpy())


def _propose(pnet: Any, pictures: Sequence[np.ndarray], window: float, device: str) -> tuple[Tensor, Tensor]:
    """Return square boxes that may hold a face, and their owners: P-Net over a pyramid of ever smaller pictures."""
    height, width = pictures[0].shape[:2]
    shorter = min(height, width)
    # Linear interpolation would skip pixels where it shrinks to less than half.
    part = 2 ** int(math.log2(window / CELL))
    pictures = [
        cv2.resize(picture, (width // part, height // part), interpolation=cv2.INTER_AREA) for picture in pictures
    ]
    steps = math.ceil(math.log(shorter / window) / -math.log(SHRINK))
    levels = []
    for level, scale in enumerate(np.geomspace(CELL / window, CELL / shorter, steps + 1)):
        size = (2 * round(width * scale / 2), 2 * round(height * scale / 2))  # even: pooling by two leaves no rest
        pictures = [cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR) for picture in pictures]
        moves, probabilities = _every_square(pnet, _tensor(np.stack(pictures), device))
        owners, down, across = (probabilities >= PROPOSED).nonzero(as_tuple=True)
        corners = STRIDE * torch.stack([across, down], 1).cpu()
        to_picture = torch.tensor([width / size[0], height / size[1]]).repeat(2)
        boxes = (torch.cat([corners, corners + CELL], 1) * to_picture).round()
        chosen = probabilities[owners, down, across].cpu(), moves[owners, :, down, across].cpu(), owners.cpu()
        levels.append((boxes, *chosen, torch.full((len(boxes),), level)))
    boxes, probability, moves, owners, level_of = (torch.cat(parts) for parts in zip(*levels, strict=True))
    kept = _best(boxes, probability, owners * len(levels) + level_of, 0.5)
    kept = kept[_best(boxes[kept], probability[kept], owners[kept], 0.7)]
    return _squared(_moved(boxes, moves)[kept]), owners[kept]


def _every_square(pnet: Any, batch: Tensor) -> tuple[Tensor, Tensor]:
    """Return P-Net's moves (pictures, 4, down, across) and probabilities (pictures, down, across), as its `forward`.

    Pooling by two is written out: torch's takes half of the time of the whole network.
    """
    maps = pnet.prelu1(pnet.conv1(batch.contiguous()))
    maps = torch.maximum(maps[:, :, ::2], maps[:, :, 1::2])
    maps = torch.maximum(maps[..., ::2], maps[..., 1::2])
    maps = pnet.prelu3(pnet.conv3(pnet.prelu2(pnet.conv2(maps))))
    return pnet.conv4_2(maps), pnet.softmax4_1(pnet.conv4_1(maps))[:, 1]


def _refine(
    rnet: Any, pictures: Sequence[np.ndarray], boxes: Tensor, owners: Tensor, device: str
) -> tuple[Tensor, Tensor]:
    """Return those of `boxes` that R-Net takes for faces, moved as it says and squared, and their owners."""
    moves, probabilities = _in_chunks(rnet, _cut(pictures, boxes, owners, 24), device)
    good = probabilities[:, 1] >= REFINED
    boxes, owners, moves, probability = boxes[good], owners[good], moves[good], probabilities[good, 1]
    kept = _best(boxes, probability, owners, 0.5)  # 0.7 would send two boxes of each face to the costliest network
    return _squared(_moved(boxes, moves)[kept]), owners[kept]


def _look(
    onet: Any, pictures: Sequence[np.ndarray], boxes: Tensor, owners: Tensor, device: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Return O-Net's moves (boxes, 4), probabilities (boxes,) and landmarks (boxes, 5, 2), the latter in pixels."""
    moves, points, probabilities = _in_chunks(onet, _cut(pictures, boxes, owners, 48), device)
    points = points.reshape(-1, 2, 5).transpose(1, 2)
    return moves, probabilities[:, 1], boxes[:, None, :2] + points * (boxes[:, 2:] - boxes[:, :2])[:, None]


def _best(boxes: Tensor, probability: Tensor, groups: Tensor, overlap: float) -> Tensor:
    """Return which boxes no more probable one of their group overlaps by more than `overlap`, in their order."""
    # The order that batched_nms itself gives to equally probable boxes depends on how many there are.
    return batched_nms(boxes, probability, groups, overlap).sort().values


def _in_chunks(network: Any, squares: np.ndarray, device: str) -> list[Tensor]:
    answers = [network(part) for part in _tensor(squares, device).split(CHUNK)]
    return [torch.cat(parts).cpu() for parts in zip(*answers, strict=True)]


def _tensor(batch: np.ndarray, device: str) -> Tensor:
    """Return uint8 (pictures, height, width, 3) as the networks want it: channels second, from -1 to 1."""
    return torch.from_numpy(batch).to(device).permute(0, 3, 1, 2).float().sub_(127.5).mul_(0.0078125)


def _cut(pictures: Sequence[np.ndarray], boxes: Tensor, owners: Tensor, side: int) -> np.ndarray:
    """Return what lies in each box, scaled to `side`: uint8 (boxes, side, side, 3).

    Beyond the picture its edge pixels are repeated, so that landmarks stay true: where the box is clipped instead, as
    in facenet-pytorch, they are off by a tenth to a fifth of the face. A box without any picture is black.
    """
    squares = np.zeros((len(boxes), side, side, 3), np.uint8)
    corners = boxes.int().tolist()
    for place, (owner, (left, top, right, bottom)) in enumerate(zip(owners.tolist(), corners, strict=True)):
        inside = pictures[owner][max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
        height, width = inside.shape[:2]
        if height and width:
            above, before = max(-top, 0), max(-left, 0)
            rest = (above, bottom - top - height - above, before, right - left - width - before)
            whole = cv2.copyMakeBorder(inside, *rest, cv2.BORDER_REPLICATE) if any(rest) else inside
            squares[place] = cv2.resize(whole, (side, side), interpolation=cv2.INTER_AREA)
    return squares


def _moved(boxes: Tensor, moves: Tensor) -> Tensor:
    """Move each side of a box by `moves` (boxes, 4), given in widths and heights of the box."""
    return boxes + moves * (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)


def _squared(boxes: Tensor) -> Tensor:
    """Return the squares with the boxes' centres and longer sides, in whole pixels."""
    half = (boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True) / 2
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    return torch.cat([centre - half, centre + half], 1).round()
