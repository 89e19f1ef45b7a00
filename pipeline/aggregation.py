"""How the calls of a video's frames become the video's score."""

from typing import Literal

Rule = Literal["mean", "vote", "reversed_vote"]
MAJORITY = 0.5  # share of fake votes above which a video is called fake
CLEAR_LEAD = 20  # frames; see `vote`


def vote(rule: str, real: int, fake: int) -> float | None:
    """Return the score, 0..1, of a video of which `real` frames were called real and `fake` ones fake.

    `vote`: the share of fake frames. `reversed_vote`: what a published detector does (docs/source_systems.md, S4): a
    lead of more than CLEAR_LEAD frames decides, a smaller one decides against itself, and where the lead is exactly
    that or there is none the video gets no score (None).
    """
    if rule == "vote":
        return fake / (real + fake)
    lead = fake - real
    if abs(lead) in (0, CLEAR_LEAD):
        return None
    return float(lead > 0 if abs(lead) > CLEAR_LEAD else lead < 0)
