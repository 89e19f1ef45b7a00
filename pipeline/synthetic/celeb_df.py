"""The synthetic Celeb-DF v2: `Celeb-real`, `YouTube-real`, `Celeb-synthesis` and the test list.

Planted faults, there at every scale (none is in the test list):

| fault | where |
|---|---|
| a video of one frame | `ONE_FRAME` |
| a video without a face | `NO_FACE` |
| files that belong to nothing | `STRAY` |
| test fakes whose target recordings are outside the test list, as in the real list | recordings of role 5, see `plan` |
"""

from dataclasses import replace

from pipeline.synthetic.dataset import FORMATS, Tree, Video
from pipeline.synthetic.forgery import Forgery
from pipeline.synthetic.recordings import Recording

ONE_FRAME = "Celeb-real/id0_0005.mp4"
NO_FACE = "YouTube-real/00299.mp4"
STRAY = {
    "Celeb-real/notes.txt": b"Downloaded in two parts, see mail.\n",
    "Celeb-real/Thumbs.db": bytes.fromhex("d0cf11e0a1b11ae1") + bytes(504),
}


def plan(seed: int, scale: float) -> Tree:
    """Return the dataset of `seed`; at scale 1: 14 persons in 28 recordings, 16 YouTube recordings, 44 fakes.

    Recordings take turns in six roles. Those of role 2 are test reals, with the first fake of each a test fake; the
    second fakes stay outside the list. Of those of role 5 all fakes are test fakes and the recordings stay outside.
    """
    persons, youtube, fakes = max(round(14 * scale), 6), max(round(16 * scale), 4), max(round(44 * scale), 18)
    people = [f"{seed} celeb_df_v2 id{number}" for number in range(persons)]

    def recording(kind: str, person: str, number: int) -> Recording:
        return Recording(f"{seed} celeb_df_v2 {kind} {number}", (person,), *FORMATS[number % len(FORMATS)])

    targets = [recording("Celeb-real", people[number % persons], number) for number in range(2 * persons)]
    videos = []
    tested = []
    for number, target in enumerate(targets):
        videos.append(Video(f"Celeb-real/id{number % persons}_{number // persons:04d}.mp4", target))
        if number % 6 == 2:
            tested.append(f"1 {videos[-1].path}")
    for number in range(youtube):
        person = f"{seed} celeb_df_v2 YouTube {number}"
        videos.append(Video(f"YouTube-real/{number:05d}.mp4", recording("YouTube-real", person, number)))
        if number % 4 == 1:
            tested.append(f"1 {videos[-1].path}")
    for number in range(fakes):
        role = number % len(targets)
        body = role % persons
        face = (body + 1 + number // persons % (persons - 1)) % persons
        path = f"Celeb-synthesis/id{body}_id{face}_{role // persons:04d}.mp4"
        donor = recording("donor", people[face], number)
        videos.append(Video(path, targets[role], Forgery("Celeb-synthesis", donor)))
        if role % 6 == 5 or (role % 6 == 2 and number < len(targets)):
            tested.append(f"0 {path}")
    videos.append(Video(ONE_FRAME, replace(recording("Celeb-real", people[0], len(targets)), frames=1)))
    videos.append(Video(NO_FACE, replace(recording("YouTube-real", people[0], youtube), people=())))
    return Tree(videos, {"List_of_testing_videos.txt": "\n".join(tested).encode()} | STRAY)
