"""Lines that say the same about many rows, models or files, as one line with their number and three examples."""

from collections.abc import Sequence

MAX_EXAMPLES = 3
"""Rows, models or files that a line names; further ones are only counted."""
MAX_DIFFERENT_WORDS = 2
"""Words, such as a path and a number, in which two lines may differ and still say the same."""
LEAST_WORDS = 4
"""Words that two lines must have in common to say the same."""
PUNCTUATION = ".,:;()"


def together(lines: Sequence[str], *, least: int = 2) -> list[str]:
    """Return the lines in their order, those that say the same as one line with their number and three examples.

    Lines say the same where only a word or two differ: the path, the model or the row they speak of.

    Args:
        lines: sentences, each of one line.
        least: lines that must say the same before they become one.
    """
    groups: list[list[str]] = []
    for line in lines:
        alike = next((group for group in groups if _says_the_same(group[0], line)), None)
        if alike is None:
            groups.append([line])
        else:
            alike.append(line)
    return [line for group in groups for line in (group if len(group) < least else [_as_one(group)])]


def _says_the_same(first: str, second: str) -> bool:
    ours, theirs = first.split(), second.split()
    if len(ours) != len(theirs):
        return False
    n_different = sum(one != other for one, other in zip(ours, theirs, strict=True))
    return n_different <= MAX_DIFFERENT_WORDS and len(ours) - n_different >= LEAST_WORDS


def _as_one(group: Sequence[str]) -> str:
    first = group[0]
    distinct = list(dict.fromkeys(_different_words(first, line) for line in group[1:]))
    names = [name for name in distinct if name]
    shown = names[: MAX_EXAMPLES - 1]
    if not shown:
        return f"{first} ({len(group)} times)"
    dots = ", ..." if len(names) > len(shown) else ""
    return f"{first} ({len(group)} in all; also {', '.join(shown)}{dots})"


def _different_words(first: str, line: str) -> str:
    """Return the words of ``line`` that ``first`` has not, at the same place."""
    words = zip(first.split(), line.split(), strict=True)
    return " ".join(other.strip(PUNCTUATION) for one, other in words if one != other)
