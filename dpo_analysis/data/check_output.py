"""Output of the command ``check``: rows, warnings and every token of the first pairs, printed for a terminal."""

import statistics
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dpo_analysis import words
from dpo_analysis.data.pairs import Pair
from dpo_analysis.data.row_warnings import check_frames, text_warning_counts
from dpo_analysis.data.tokenization import TokenizedPair
from dpo_analysis.schema import CHOSEN, NOT_SCORED, REJECTED, SCORED, SIDES

PROMPT_TOKENS_SHOWN = (8, 24)
RESPONSE_TOKENS_SHOWN = (48, 16)
"""Tokens that are printed from the start and from the end of a longer prompt or response."""
MAX_TEXT_CHARACTERS = 200
BORDER_MARK = "\u2503"
TOKEN_STYLES = {"prompt": "dim", "response": "", "bos": "bold reverse", "eos": "bold reverse", "border": "bold yellow"}
VISIBLE_MARKS = {" ": "\u00b7", "\n": "\u21b5", "\t": "\u21e5"}

MarkedTokens = list[tuple[str, str]]
"""Tokens as (visible text, kind); the kinds are the keys of ``TOKEN_STYLES``."""

__all__ = [
    "BORDER_MARK",
    "MarkedTokens",
    "check_frames",
    "empty_grid",
    "empty_table",
    "join_tokens",
    "render_check",
    "render_rows",
    "token_line",
    "visible_text",
    "with_title",
]


def token_line(tokenized: TokenizedPair, vocab: pa.Table, *, side: str = CHOSEN) -> MarkedTokens:
    r"""Return the tokens of prompt and response of ``side`` as (visible text, kind).

    Kinds are prompt, border (a single mark between prompt and response), response, bos and eos. A space is shown as a
    middle dot, a newline as an arrow, a byte that is no character by itself as ``\xE4``. Empty when the pair is not
    scored.
    """
    if side not in tokenized.responses:
        return []
    response = tokenized.responses[side]
    bos, eos = tokenized.special_ids
    texts = _token_texts([*response.prompt_token_ids.tolist(), *response.token_ids.tolist()], vocab)
    prompt = [(texts[i], "bos" if i == bos else "prompt") for i in response.prompt_token_ids.tolist()]
    # Some tokenizers begin and end texts with the same token; in a response it then counts as the end.
    kinds = {bos: "bos"} | {eos: "eos"}
    scored = [(texts[i], kinds.get(i, "response")) for i in response.token_ids.tolist()]
    return [*prompt, (BORDER_MARK, "border"), *scored]


def render_check(
    tokenized: Sequence[TokenizedPair], vocab: pa.Table, rows: int = 3, *, lang: str = "en"
) -> Iterator[RenderableType]:
    """Yield what ``check`` prints: counts per split and status, warnings, then the tokens of the first scored pairs."""
    frames = check_frames(tokenized)
    yield _status_table(frames["status"], frames["rows"], lang)
    yield _length_comparison(frames["rows"], lang)
    yield _warning_table(frames["warnings"], lang)
    shown = [pair for pair in tokenized if pair.responses][:rows]
    if shown:
        yield Text(words.text("check.legend", lang), style="italic")
    for pair in shown:
        yield _token_grid(pair, vocab, lang)


def render_rows(pairs: Sequence[Pair], rows: int = 3, *, lang: str = "en") -> Iterator[RenderableType]:
    """Yield what ``check`` prints without a tokenizer: counts per split, complaints about texts, the first rows."""
    table = empty_table("check.split", "check.n_pairs", "check.conversational", "check.bad_text", lang=lang)
    for split in dict.fromkeys(pair.split for pair in pairs):
        in_split = [pair for pair in pairs if pair.split == split]
        n_bad_text = sum(bool(pair.problem) for pair in in_split)
        counts = (len(in_split), sum(pair.conversational for pair in in_split), n_bad_text)
        table.add_row(split, *map(str, counts))
    yield table
    complaints = text_warning_counts(pairs)
    if len(complaints):
        yield _warning_table(complaints, lang)
    for pair in pairs[:rows]:
        grid = empty_grid()
        for name in ("prompt", *SIDES):
            grid.add_row(words.text(f"side.{name}", lang), _side_text(getattr(pair, name)))
        yield with_title(grid, pair.where, pair.pair_id, pair.split)
    yield Text(words.text("check.no_tokenizer", lang), style="italic")


def _status_table(status: pd.DataFrame, rows: pd.DataFrame, lang: str) -> Table:
    statuses = [name for name in (*SCORED, *NOT_SCORED) if any(status[name])]
    table = empty_table("check.split", "check.n_pairs", lang=lang)
    for name in statuses:
        table.add_column(name, justify="right")  # not translated: it is the value stored in run folders and tables
    for name in ("prompt", *SIDES):
        head = f"{words.text(f'side.{name}', lang)}\n{words.text('check.tokens', lang)}"
        table.add_column(head, justify="right")
    for row in status.to_dict("records"):
        in_split: pd.DataFrame = rows.loc[rows["split"] == row["split"]]
        lengths = [_median_and_max(in_split[f"{name}_n_tokens"]) for name in ("prompt", *SIDES)]
        table.add_row(str(row["split"]), str(row["n_pairs"]), *(str(row[name]) for name in statuses), *lengths)
    return table


def _median_and_max(counts: Iterable[Any]) -> str:
    lengths = [count for count in counts if not pd.isna(count)]
    return f"{statistics.median(lengths):.0f} / {max(lengths)}" if lengths else "-"


def _length_comparison(rows: pd.DataFrame, lang: str) -> Text:
    """Return the sentence that says in what share of the pairs the chosen side is longer or shorter."""
    chosen, rejected = (rows[f"{side}_n_tokens"] for side in SIDES)
    n = int((chosen.notna() & rejected.notna()).sum())
    comparisons = {"longer": chosen > rejected, "shorter": chosen < rejected}
    shares = {name: f"{holds.fillna(False).sum() / max(n, 1):.0%}" for name, holds in comparisons.items()}
    return Text(words.text("check.lengths", lang, n=n, **shares))


def _warning_table(warnings: pd.DataFrame, lang: str) -> RenderableType:
    if warnings.empty:
        return Text(words.text("check.no_complaints", lang))
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(words.text("check.n_pairs", lang), justify="right", style="bold yellow")
    table.add_column(words.text("check.complaint", lang))
    table.add_column(words.text("check.examples", lang), overflow="fold")
    for row in warnings.to_dict("records"):
        sentence = words.text(f"check.complaint.{row['warning']}", lang)
        places = ", ".join(row["examples"])
        examples = f"{places}: {row['reason']}" if row["reason"] else places
        table.add_row(str(row["n_pairs"]), sentence, Text(visible_text(examples, keep=" ")))
    return table


def _token_grid(pair: TokenizedPair, vocab: pa.Table, lang: str) -> RenderableType:
    grid = empty_grid()
    lines = {side: token_line(pair, vocab, side=side) for side in SIDES}
    borders = {side: [kind for _, kind in line].index("border") for side, line in lines.items()}
    prompts = {side: line[: borders[side]] for side, line in lines.items()}
    shared = prompts[CHOSEN] == prompts[REJECTED]
    if shared:
        grid.add_row(
            _name_and_count("prompt", borders[CHOSEN], lang),
            join_tokens(_shorten_tokens(prompts[CHOSEN], PROMPT_TOKENS_SHOWN)),
        )
    for side, line in lines.items():
        prompt = [] if shared else _shorten_tokens(prompts[side], PROMPT_TOKENS_SHOWN)
        response = line[borders[side] + 1 :]
        shown = [*prompt, line[borders[side]], *_shorten_tokens(response, RESPONSE_TOKENS_SHOWN)]
        grid.add_row(_name_and_count(side, len(response), lang), join_tokens(shown))
    return with_title(grid, pair.pair.where, pair.pair.pair_id, pair.pair.split, pair.status)


def _name_and_count(name: str, count: int, lang: str) -> str:
    return f"{words.text(f'side.{name}', lang)} {count}"


def _shorten_tokens(line: MarkedTokens, shown: tuple[int, int]) -> MarkedTokens:
    first, last = shown
    left_out = len(line) - first - last
    # The mark itself takes the place of a token, so that leaving out a single token would save nothing.
    return line if left_out <= 1 else [*line[:first], (f"\u2026{left_out}\u2026", "border"), *line[-last:]]


def join_tokens(line: MarkedTokens) -> Text:
    """Return the tokens divided by bars, begin-of-text and end-of-text by name."""
    text = Text()
    for index, (token, kind) in enumerate(line):
        text.append("|" if index else "", style="dim")
        text.append(f"[{kind.upper()} {token}]" if kind in ("bos", "eos") else token, style=TOKEN_STYLES[kind])
    return text


def _token_texts(ids: list[int], vocab: pa.Table) -> dict[int, str]:
    rows = vocab.filter(pa.array(np.isin(vocab["token_id"].to_numpy(), ids))).to_pylist()
    texts = {row["token_id"]: visible_text(row["bytes"].decode("utf-8", "backslashreplace")) for row in rows}
    return {token_id: texts.get(token_id, f"<{token_id}>") for token_id in ids}


def visible_text(text: str, keep: str = "") -> str:
    """Return ``text`` with every character that a terminal hides or obeys written out, except those in ``keep``."""
    return "".join(c if c in keep else VISIBLE_MARKS.get(c) or _escape_hidden(c) for c in text)


def _escape_hidden(character: str) -> str:
    return repr(character)[1:-1] if unicodedata.category(character)[0] in "CZ" else character


def _side_text(side: str | list) -> Text:
    if isinstance(side, str):
        return Text(_shorten_text(visible_text(side, keep=" ")))
    lines = [
        f"{message['role']}: {_shorten_text(visible_text(str(message.get('content')), keep=' '))}" for message in side
    ]
    return Text("\n".join(lines))


def _shorten_text(text: str) -> str:
    half = MAX_TEXT_CHARACTERS // 2
    return text if len(text) <= MAX_TEXT_CHARACTERS else f"{text[:half]} \u2026 {text[-half:]}"


def empty_table(*keys: str, lang: str) -> Table:
    """Return a table without rows; ``keys`` name the heads of its columns in ``words``."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, key in enumerate(keys):
        table.add_column(words.text(key, lang), justify="right" if index else "left")
    return table


def empty_grid() -> Table:
    """Return a grid of names and texts without rows."""
    grid = Table(box=None, show_header=False, pad_edge=False)
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    return grid


def with_title(grid: RenderableType, *facts: str) -> RenderableType:
    """Return the grid below a line of facts about a pair."""
    return Group(Text.assemble("\n", (visible_text("  ".join(facts), keep=" "), "bold")), grid)
