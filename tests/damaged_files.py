"""A tree of damaged and hostile files: real videos of several containers, mutated from a fixed seed."""

import os
import random
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av

from fabricated_videos import picture

Mutate = Callable[[bytearray, random.Random], Any]

ENCODERS = {
    "tail.mp4": ("libx264", {"g": "8", "threads": "1"}, {}),
    "head.mp4": ("libx264", {"g": "8", "bf": "0", "threads": "1"}, {"movflags": "faststart"}),
    "pieces.mp4": ("mpeg4", {"g": "4"}, {"movflags": "frag_keyframe+empty_moov"}),
    "a.mov": ("mjpeg", {}, {}),
    "a.mkv": ("libx264", {"g": "8", "threads": "1"}, {}),
    "a.webm": ("libvpx", {"g": "8", "threads": "1"}, {}),
    "nine.webm": ("libvpx-vp9", {"g": "8", "threads": "1"}, {}),
    "a.avi": ("mpeg4", {"g": "8"}, {}),
    "raw.avi": ("rawvideo", {}, {}),
    "a.gif": ("gif", {}, {}),
}
PIXELS = {"mjpeg": "yuvj420p", "gif": "rgb8"}

# What some demuxer, shell, tar, URL or table might stumble over; none fits a layout.
ODD_NAMES = [
    *(b"with space.mp4", b" .mp4", b"trailing.mp4 ", b'it\'s "quoted".mp4', b"`tick`.mp4", b"new\nline.mp4"),
    *(b"tab\tbell\a.mp4", b"carriage\rreturn.mp4", b"-i.mp4", b"--help", b"-", b".hidden.mp4", b".mp4", b"no_suffix"),
    *(b"...mp4", b"a.mp4.part", b"UPPER.MP4", b"back\\slash.mp4", b"C:drive.mp4", b"CON.mp4", b"star*?.mp4", b"~.mp4"),
    *(b"concat:a|b.mp4", b"http:host.mp4", b"pipe:0", b"data:text,a.mp4", b"%03d.mp4", b"%s%n.mp4", b"$(id);&.mp4"),
    *("grün.mp4".encode(), "gru\u0308n.mp4".encode(), "視頻.mp4".encode(), "🎭.mp4".encode()),
    *("\u202egnp.mp4".encode(), "\u200b.mp4".encode(), "id\u0661_0000.mp4".encode(), b"\xff\xfe.mp4", b"caf\xe9.mp4"),
    *(b"l" * 251 + b".mp4", b"\xed\xa0\x80.mp4", b"a,b;c.mp4", b"<tag>&amp;.mp4", b"[1].mp4", b"{0}.mp4", b"null"),
]


@cache
def sound_videos() -> dict[str, bytes]:
    """Return name -> content of small real videos of 24 frames, one for each of ENCODERS."""
    with TemporaryDirectory() as folder:
        return {name: _encode(Path(folder) / name, *how) for name, how in ENCODERS.items()}


def _encode(path: Path, codec: str, options: dict[str, str], container_options: dict[str, str]) -> bytes:
    with av.open(str(path), "w", container_options=container_options) as container:
        stream: Any = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, PIXELS.get(codec, "yuv420p")
        for number in range(24):
            frame = av.VideoFrame.from_ndarray(picture(number, 64, 48), format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path.read_bytes()


# --- mutations: each changes the content in place --------------------------------------------------------------------


def flip_bits(content: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice([1, 4, 32, len(content) // 50])):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)


def flip_bits_of_headers(content: bytearray, chance: random.Random) -> None:
    moov = max(content.find(b"moov"), 0)
    for _ in range(chance.choice([1, 4, 16])):
        content[min(moov + chance.randrange(700), len(content) - 1)] ^= 1 << chance.randrange(8)


def truncate(content: bytearray, chance: random.Random) -> None:
    del content[chance.randrange(1, len(content)) :]


def behead(content: bytearray, chance: random.Random) -> None:
    del content[: chance.randrange(1, len(content))]


def insert_zeros(content: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(content))
    content[at:at] = bytes(chance.choice([1, 3, 64, 5000]))


def wipe(content: bytearray, chance: random.Random) -> None:
    at, length = chance.randrange(len(content)), chance.choice([8, 200, 2000])
    content[at : at + length] = bytes(len(content[at : at + length]))


def cut_out(content: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(content))
    del content[at : at + chance.choice([1, 16, 500])]


def declare_huge_sizes(content: bytearray, chance: random.Random) -> None:
    """Boxes of MP4, chunks of AVI, elements of Matroska: the length that stands beside a name."""
    before = [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avcC", b"stsz", b"mdat", b"moof", b"traf"]
    after = [b"RIFF", b"LIST", b"strf", b"strh", b"00dc", b"idx1"]
    elements = [
        b"\x1a\x45\xdf\xa3",
        b"\x18\x53\x80\x67",
        b"\x16\x54\xae\x6b",
        b"\x1f\x43\xb6\x75",
        b"\x63\xa2",
        b"\xa3",
    ]
    size = chance.choice([0, 1, 7, 2**31 - 1, 2**31, 2**32 - 16, 2**32 - 1])
    places = [(content.find(name), -4, struct.pack(">I", size)) for name in before]
    places += [(content.find(name), 4, struct.pack("<I", size)) for name in after]
    huge = chance.choice([b"\x01" + b"\xff" * 7, b"\x08\xff\xff\xff\xff", b"\xff"])
    places += [(content.find(name), len(name), huge) for name in elements]
    _overwrite(content, chance, places)


def declare_many_entries(content: bytearray, chance: random.Random) -> None:
    """Tables of MP4: the number of their entries."""
    many = struct.pack(">I", chance.choice([0, 2**24, 2**28 - 1, 2**31 - 1, 2**32 - 1]))
    names = [b"stts", b"stss", b"ctts", b"stsc", b"stsz", b"stco", b"elst", b"dref", b"trun"]
    _overwrite(content, chance, [(content.find(name), 12 if name == b"stsz" else 8, many) for name in names])


def declare_huge_pictures(content: bytearray, chance: random.Random) -> None:
    side = chance.choice([0, 16383, 32767, 65535])
    big, little = struct.pack(">HH", side, side), struct.pack("<HH", side, side)
    bitmap = struct.pack("<ii", *chance.choice([(65535, 65535), (2**31 - 1, 2**31 - 1), (-1, -(2**31))]))
    places = [(content.find(name), 28, big) for name in (b"avc1", b"mp4v", b"jpeg")]
    places += [(content.find(b"tkhd"), 80, struct.pack(">HxxHxx", side, side)), (content.find(b"GIF8"), 6, little)]
    places += [(content.find(b"strf"), 12, bitmap), (content.find(b"\x9d\x01\x2a"), 3, little)]
    places += [(content.find(b"\xb0\x81\x40\xba\x81\x30"), 0, b"\xb0\x82\xff\xff\xba\x81")]
    places += [(content.find(b"\xff\xc0\x00\x11\x08"), 5, big)]
    _overwrite(content, chance, places)


def disturb_time(content: bytearray, chance: random.Random) -> None:
    """Units of time of nothing or of everything, and time stamps far away and before zero."""
    value = chance.choice([0, 1, 2**31 - 1, 2**31, 2**32 - 1])
    places = [(content.find(b"mdhd"), 16, struct.pack(">I", value)), (content.find(b"mvhd"), 16, bytes(4))]
    places += [(content.find(name), 16, struct.pack(">I", value)) for name in (b"stts", b"ctts")]
    places += [(content.find(b"elst"), 16, struct.pack(">I", value)), (content.find(b"vids"), 20, bytes(8))]
    places += [(content.find(b"\x2a\xd7\xb1\x83"), 4, chance.choice([bytes(3), b"\xff" * 3]))]
    _overwrite(content, chance, places)


def turn_oddly(content: bytearray, chance: random.Random) -> None:
    """A display matrix of any numbers."""
    _overwrite(content, chance, [(content.find(b"tkhd"), 44, chance.randbytes(36))])


def splice(content: bytearray, chance: random.Random) -> None:
    """Half of one file and half of another."""
    other = chance.choice(list(sound_videos().values()))
    content[chance.randrange(len(content)) :] = other[chance.randrange(len(other)) :]


def _overwrite(content: bytearray, chance: random.Random, places: list[tuple[int, int, bytes]]) -> None:
    """Put bytes at an offset from one or two of the places that were found; flip bits where none was."""
    found = [(place + offset, patch) for place, offset, patch in places if place >= 0 and place + offset >= 0]
    for at, patch in chance.sample(found, min(len(found), chance.choice([1, 2]))):
        content[at : at + len(patch)] = patch
    if not found:
        flip_bits_of_headers(content, chance)


MUTATIONS: list[Mutate] = [
    *(flip_bits, flip_bits_of_headers, truncate, behead, insert_zeros, wipe, cut_out, declare_huge_sizes),
    *(declare_many_entries, declare_huge_pictures, disturb_time, turn_oddly, splice),
]


def no_videos(chance: random.Random) -> list[bytes]:
    """Return contents that are no video at all, whatever their name says."""
    import cv2

    image = picture(1, 64, 48)
    encoded = [cv2.imencode(suffix, image)[1].tobytes() for suffix in (".png", ".jpg", ".bmp", ".webp", ".tiff")]
    return [
        *encoded,
        b"",
        b"\0",
        bytes(70_000),
        chance.randbytes(20_000),
        b"These are the notes about the download.\n" * 40,
        b"<!DOCTYPE html><html><title>403 Forbidden</title></html>",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nid0_0000.mp4\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile id0_0000.mp4\nfile /dev/zero\n",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=-\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        b'<svg xmlns="http://www.w3.org/2000/svg" width="99999" height="99999"/>',
        b"PK\x03\x04" + chance.randbytes(500),
        b"RIFF\xff\xff\xff\xffAVI LIST",
        b"\x1a\x45\xdf\xa3" * 500,
        b"\0\0\0\x08moov" * 3000,
        b"\0\0\0\1" * 5000,
        b"YUV4MPEG2 W65535 H65535 F25:1\nFRAME\n" + bytes(1000),
        b"P6 65535 65535 255\n" + bytes(1000),
    ]


def write_damaged_tree(root: Path, count: int = 300, seed: int = 0) -> list[Path]:
    """Write `count` damaged files, of one seed always the same, in the layout celeb_df_v2; return their paths.

    The names fit the layout, save for those of ODD_NAMES (`count` is larger than their number and that of
    `no_videos`); the list of testing videos names three of the files.
    """
    chance = random.Random(seed)
    contents = no_videos(chance)
    while len(contents) < count:
        content = bytearray(chance.choice(list(sound_videos().values())))
        MUTATIONS[len(contents) % len(MUTATIONS)](content, chance)
        contents.append(bytes(content))
    chance.shuffle(contents)
    fitting = _fitting_names(count - len(ODD_NAMES))
    paths = [root / name for name in [*map(os.fsdecode, ODD_NAMES), *fitting]]
    for path, content in zip(paths, contents, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    tested = [f"{int('real' in name)} {name}" for name in fitting[:3]]
    (root / "List_of_testing_videos.txt").write_text("\n".join(tested))
    return paths


def _fitting_names(count: int) -> list[str]:
    """Return names of Celeb-DF: as many fakes as both kinds of reals together, any count of them."""
    kinds = ["Celeb-real/id{0}_{1:04}.mp4", "Celeb-synthesis/id{0}_id{2}_{1:04}.mp4", "YouTube-real/{1:05}.mp4"]
    kinds.append("Celeb-synthesis/id{2}_id{0}_{1:04}.mp4")
    return [kinds[number % 4].format(number % 50, number, number % 50 + 1) for number in range(count)]
