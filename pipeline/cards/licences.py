"""Under which licence prepared data may be given out: never under one that its source does not allow."""

import re
from dataclasses import dataclass

from pipeline.cards.sources import Source
from pipeline.errors import UserError

SPDX = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")
URL = re.compile(r"https?://\S+")
PUBLIC = re.compile(r"https?://([^/]+\.)?(creativecommons|opensource|opendatacommons|spdx|apache|gnu|cdla)\.\w+(/|$)")


@dataclass(frozen=True)
class Licence:
    """`name`: SPDX identifier, URL or words; `url`: where it stands, if anywhere; `terms`: what words say."""

    name: str
    url: str | None
    terms: str | None = None

    @property
    def spdx(self) -> bool:
        """Whether `name` is an SPDX identifier."""
        return self.terms is None and SPDX.fullmatch(self.name) is not None


def licence_of(wanted: str | None, source: Source, where: str) -> Licence:
    """Return the licence of data made from `source`: the one asked for, or what the source itself allows.

    `wanted` is an SPDX identifier, a URL, words, or None. `where` names the parameter in messages. Raises UserError for
    a public licence where access to the source is granted by agreement alone.
    """
    wanted = wanted if wanted is not None else source.license
    if wanted is None:
        return Licence(f"terms of {source.title}", source.homepage, source.terms.text)
    spdx, url = SPDX.fullmatch(wanted), URL.fullmatch(wanted)
    if source.agreement and (spdx or PUBLIC.match(wanted)):
        raise UserError(
            f"{where}: data made from {source.title} cannot be given out under the public licence {wanted!r}: access "
            "is granted by its owners, one by one. Set it to null, which states their terms, or, if they gave you "
            "leave, to words that say so"
        )
    if spdx:
        return Licence(wanted, f"https://spdx.org/licenses/{wanted}.html")
    return Licence(wanted, wanted if url else None, None if url else wanted)
