"""Under which licence prepared data may be given out: never under one that its source does not allow."""

import re
from dataclasses import dataclass

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from pipeline.cards.sources import Source
from pipeline.errors import UserError

URL = re.compile(r"https?://\S+")
PUBLIC_URL = re.compile(
    r"https?://([^/]+\.)?(apache|cdla|creativecommons|gnu|opendatacommons|opensource|spdx)\.\w+(/|$)"
)


@dataclass(frozen=True)
class Licence:
    """A licence: `name` is its SPDX identifier where `spdx`, else a URL or words.

    `url` is where it stands, if anywhere; `terms` is what it says, where words are all there is.
    """

    name: str
    url: str | None
    spdx: bool = False
    terms: str | None = None


def licence_of(wanted: str | None, source: Source, where: str) -> Licence:
    """Return the licence of data made from `source`: the one asked for, or what the source itself allows.

    `wanted` is an SPDX identifier, a URL, words, or None. `where` names the parameter in messages. Raises UserError for
    a public licence where access to the source is granted by agreement alone.
    """
    wanted = wanted if wanted is not None else source.license
    if wanted is None:
        return Licence(f"terms of {source.title}", source.homepage, terms=source.terms.text)
    known = _public(wanted)
    if source.agreement and (known or PUBLIC_URL.match(wanted)):
        raise UserError(
            f"{where}: data made from {source.title} cannot be given out under the public licence {wanted!r}: access "
            "is granted by its owners, one by one. Set it to null, which states their terms, or, if they gave you "
            "leave, to words that say so"
        )
    if known and " " not in known:
        return Licence(known, f"https://spdx.org/licenses/{known}.html", spdx=True)
    if URL.fullmatch(wanted):
        return Licence(wanted, wanted)
    return Licence(wanted, None, terms=wanted)


def _public(text: str) -> str | None:
    """Return an SPDX expression of public licences as SPDX writes it; None for anything else."""
    try:
        known = canonicalize_license_expression(text)
    except InvalidLicenseExpression:
        return None
    return None if "LicenseRef-" in known else known
