"""Text for people: names that may hold anything, and sizes."""

from tqdm import tqdm


def printable(text: str) -> str:
    """Return `text` on one line, without what would steer a terminal: names come from other people's files."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def in_words(size: float) -> str:
    """Return a number of bytes in words, in powers of 1000."""
    return f"{size:.0f}B" if size < 1000 else f"{tqdm.format_sizeof(size)}B"
