"""Output of ``check --compare``: on which rows presets differ, and what differs, printed for a terminal."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dpo_analysis import words
from dpo_analysis.data.check_output import (
    BORDER_MARK,
    MarkedTokens,
    empty_table,
    join_tokens,
    token_line,
    visible_text,
    with_title,
)
from dpo_analysis.data.comparison.differences import DIFFERENCES, differences, first_difference
from dpo_analysis.data.tokenization import TokenizedPair
from dpo_analysis.schema import CHOSEN, SIDES

TOKENS_BEFORE, TOKENS_AFTER = 4, 12
"""Tokens that are printed before and from the first difference."""


def render_comparison(
    compared: Mapping[str, Sequence[TokenizedPair]], vocab: pa.Table, rows: int = 3, *, lang: str = "en"
) -> Iterator[RenderableType]:
    """Yield what ``check --compare`` prints: the first preset against each further preset.

    Args:
        compared: preset -> the same pairs, in the same order.
        vocab: from ``vocab.vocabulary``.
        rows: how many rows that differ to print token by token.
        lang: the language of the sentences.
    """
    (first, pairs), *rest = compared.items()
    for name, second_pairs in rest:
        kinds = [differences(*pair) for pair in zip(pairs, second_pairs, strict=True)]
        n = sum(bool(found) for found in kinds)
        yield Text(words.text("check.compared", lang, n=n, total=len(kinds), first=first, second=name), style="bold")
        if not n:
            continue
        yield _counts(kinds, lang)
        differing = [row for row in zip(pairs, second_pairs, kinds, strict=True) if row[2]]
        if rows:
            yield Text(words.text("check.legend", lang), style="italic")
        for *both, found in differing[:rows]:
            yield _row(both, found, names=(first, name), vocab=vocab, lang=lang)


def _counts(kinds: Sequence[Sequence[str]], lang: str) -> Table:
    counts = Counter(kind for found in kinds for kind in found)
    table = empty_table("check.n_pairs", "check.differs", lang=lang)
    table.columns[0].justify, table.columns[1].justify = "right", "left"
    for kind in DIFFERENCES:
        if counts[kind]:
            table.add_row(str(counts[kind]), words.text(f"check.difference.{kind}", lang))
    return table


def _row(
    both: Sequence[TokenizedPair],
    found: Sequence[str],
    *,
    names: tuple[str, str],
    vocab: pa.Table,
    lang: str,
) -> RenderableType:
    """Return the difference in plain words, then prompt and responses that differ, from where they do."""
    sentences = [words.text(f"check.difference.{kind}", lang) for kind in found]
    grid = Table(box=None, show_header=False, pad_edge=False)
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    if "status" in found:
        for name, pair in zip(names, both, strict=True):
            status = f"{pair.status}: {pair.reason}" if pair.reason else pair.status
            grid.add_row(words.text("check.status", lang), name, Text(visible_text(status, keep=" ")))
    else:
        parts = [_parts(pair, vocab) for pair in both]
        for part in parts[0]:
            _add_part(grid, part, [lines[part] for lines in parts], names, lang)
    body = Group(Text("; ".join(sentences), style="yellow"), grid)
    pair = both[0].pair
    return with_title(body, pair.where, pair.pair_id, pair.split)


def _parts(pair: TokenizedPair, vocab: pa.Table) -> dict[str, MarkedTokens]:
    """Return the tokens of the prompt before chosen, and of both responses."""
    lines = {side: token_line(pair, vocab, side=side) for side in SIDES}
    borders = {side: line.index((BORDER_MARK, "border")) for side, line in lines.items()}
    parts = {"prompt": lines[CHOSEN][: borders[CHOSEN]]}
    return parts | {side: line[borders[side] + 1 :] for side, line in lines.items()}


def _add_part(grid: Table, part: str, lines: Sequence[MarkedTokens], names: tuple[str, str], lang: str) -> None:
    """Add the tokens of both presets, from shortly before their first difference; none where they are equal."""
    position = first_difference(lines[0], lines[1])
    if position is None:
        return
    for name, line in zip(names, lines, strict=True):
        label = f"{words.text(f'side.{part}', lang)} {len(line)}"
        grid.add_row(label, name, join_tokens(_window(line, position)))


def _window(line: MarkedTokens, position: int) -> MarkedTokens:
    start, stop = max(position - TOKENS_BEFORE, 0), position + TOKENS_AFTER
    before: MarkedTokens = [(f"…{start}…", "border")] if start else []
    after: MarkedTokens = [(f"…{len(line) - stop}…", "border")] if len(line) > stop else []
    return [*before, *line[start:stop], *after]
