"""The rows and their tokens for a terminal: every token visible, with border, begin and end of text marked."""

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
from dpo_analysis.data.row_warnings import check_frames
from dpo_analysis.data.tokenization import TokenizedPair
from dpo_analysis.schema import CHOSEN, NOT_SCORED, REJECTED, SCORED, SIDES

PROMPT_SHOWN = (8, 24)
RESPONSE_SHOWN = (48, 16)
"""How many tokens are printed from the start and from the end of a longer prompt or response."""
TEXT_SHOWN = 200
BORDER = "\u2503"
STYLES = {"prompt": "dim", "response": "", "bos": "bold reverse", "eos": "bold reverse", "border": "bold yellow"}
VISIBLE = {" ": "\u00b7", "\n": "\u21b5", "\t": "\u21e5"}

Marked = list[tuple[str, str]]

__all__ = ["check_frames", "render_check", "render_rows", "token_line", "visible"]


def token_line(tokenized: TokenizedPair, vocab: pa.Table, *, side: str = CHOSEN) -> Marked:
    r"""The tokens of one side as (visible text, kind), the prompt's first.

    Kinds are prompt, border (one, between prompt and response), response, bos and eos. A space is shown as a middle
    dot, a newline as an arrow, a byte that is no character by itself as ``\xE4``. Empty when the pair is not scored.
    """
    if side not in tokenized.responses:
        return []
    response = tokenized.responses[side]
    bos, eos = tokenized.special
    texts = _texts([*response.prompt_token_ids.tolist(), *response.token_ids.tolist()], vocab)
    prompt = [(texts[i], "bos" if i == bos else "prompt") for i in response.prompt_token_ids.tolist()]
    kinds = {bos: "bos"} | {eos: "eos"}
    scored = [(texts[i], kinds.get(i, "response")) for i in response.token_ids.tolist()]
    return [*prompt, (BORDER, "border"), *scored]


def render_check(
    tokenized: Sequence[TokenizedPair], vocab: pa.Table, rows: int = 3, *, lang: str = "en"
) -> Iterator[RenderableType]:
    """What ``check`` prints: counts per split and status, complaints, then the tokens of the first scored pairs."""
    frames = check_frames(tokenized)
    yield _status_table(frames["status"], frames["rows"], lang)
    yield _longer(frames["rows"], lang)
    yield _complaints(frames["complaints"], lang)
    shown = [pair for pair in tokenized if pair.responses][:rows]
    if shown:
        yield Text(words.text("check.legend", lang), style="italic")
    for pair in shown:
        yield _tokens_of(pair, vocab, lang)


def render_rows(pairs: Sequence[Pair], rows: int = 3, *, lang: str = "en") -> Iterator[RenderableType]:
    """What ``check`` prints without a tokenizer: pairs per split and kind, then the first rows as resolved."""
    table = _table("check.split", "check.n_pairs", "check.conversational", "check.bad_text", lang=lang)
    for split in dict.fromkeys(pair.split for pair in pairs):
        own = [pair for pair in pairs if pair.split == split]
        counts = (len(own), sum(pair.conversational for pair in own), sum(bool(pair.problem) for pair in own))
        table.add_row(split, *map(str, counts))
    yield table
    for pair in pairs[:rows]:
        grid = _grid()
        for name in ("prompt", *SIDES):
            grid.add_row(words.text(f"side.{name}", lang), _resolved(getattr(pair, name)))
        yield _titled(grid, pair.where, pair.pair_id, pair.split)
    yield Text(words.text("check.no_tokenizer", lang), style="italic")


def _status_table(status: pd.DataFrame, rows: pd.DataFrame, lang: str) -> Table:
    met = [name for name in (*SCORED, *NOT_SCORED) if any(status[name])]
    table = _table("check.split", "check.n_pairs", lang=lang)
    for name in met:
        table.add_column(name, justify="right")  # as it stands in the run folder and in every table
    for name in ("prompt", *SIDES):
        head = f"{words.text(f'side.{name}', lang)}\n{words.text('check.tokens', lang)}"
        table.add_column(head, justify="right")
    for row in status.to_dict("records"):
        own: pd.DataFrame = rows.loc[rows["split"] == row["split"]]
        lengths = [_lengths(own[f"{name}_n_tokens"]) for name in ("prompt", *SIDES)]
        table.add_row(str(row["split"]), str(row["n_pairs"]), *(str(row[name]) for name in met), *lengths)
    return table


def _lengths(counts: Iterable[Any]) -> str:
    known = [count for count in counts if not pd.isna(count)]
    return f"{statistics.median(known):.0f} / {max(known)}" if known else "-"


def _longer(rows: pd.DataFrame, lang: str) -> Text:
    """In how many pairs which side is the longer one."""
    chosen, rejected = (rows[f"{side}_n_tokens"] for side in SIDES)
    n = int((chosen.notna() & rejected.notna()).sum())
    more = {"longer": chosen > rejected, "shorter": chosen < rejected}
    shares = {name: f"{one.fillna(False).sum() / max(n, 1):.0%}" for name, one in more.items()}
    return Text(words.text("check.lengths", lang, n=n, **shares))


def _complaints(found: pd.DataFrame, lang: str) -> RenderableType:
    if found.empty:
        return Text(words.text("check.no_complaints", lang))
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(words.text("check.n_pairs", lang), justify="right", style="bold yellow")
    table.add_column(words.text("check.complaint", lang))
    table.add_column(words.text("check.first", lang), overflow="fold")
    for row in found.to_dict("records"):
        said = words.text(f"check.complaint.{row['complaint']}", lang)
        first = f"{row['first']}: {row['reason']}" if row["reason"] else row["first"]
        table.add_row(str(row["n_pairs"]), said, Text(visible(first, keep=" ")))
    return table


def _tokens_of(pair: TokenizedPair, vocab: pa.Table, lang: str) -> RenderableType:
    grid = _grid()
    lines = {side: token_line(pair, vocab, side=side) for side in SIDES}
    borders = {side: [kind for _, kind in line].index("border") for side, line in lines.items()}
    prompts = {side: line[: borders[side]] for side, line in lines.items()}
    shared = prompts[CHOSEN] == prompts[REJECTED]
    if shared:
        grid.add_row(_counted("prompt", borders[CHOSEN], lang), _joined(_clipped(prompts[CHOSEN], PROMPT_SHOWN)))
    for side, line in lines.items():
        prompt = [] if shared else _clipped(prompts[side], PROMPT_SHOWN)
        response = line[borders[side] + 1 :]
        shown = [*prompt, line[borders[side]], *_clipped(response, RESPONSE_SHOWN)]
        grid.add_row(_counted(side, len(response), lang), _joined(shown))
    return _titled(grid, pair.pair.where, pair.pair.pair_id, pair.pair.split, pair.status)


def _counted(name: str, count: int, lang: str) -> str:
    return f"{words.text(f'side.{name}', lang)} {count}"


def _clipped(line: Marked, shown: tuple[int, int]) -> Marked:
    first, last = shown
    left_out = len(line) - first - last
    return line if left_out <= 1 else [*line[:first], (f"\u2026{left_out}\u2026", "border"), *line[-last:]]


def _joined(line: Marked) -> Text:
    text = Text()
    for place, (shown, kind) in enumerate(line):
        text.append("|" if place else "", style="dim")
        text.append(f"[{kind.upper()} {shown}]" if kind in ("bos", "eos") else shown, style=STYLES[kind])
    return text


def _texts(ids: list[int], vocab: pa.Table) -> dict[int, str]:
    met = vocab.filter(pa.array(np.isin(vocab["token_id"].to_numpy(), ids))).to_pylist()
    known = {row["token_id"]: visible(row["bytes"].decode("utf-8", "backslashreplace")) for row in met}
    return {token_id: known.get(token_id, f"<{token_id}>") for token_id in ids}


def visible(text: str, keep: str = "") -> str:
    """``text`` with every character that a terminal hides or obeys written out; what is in ``keep`` stays."""
    return "".join(c if c in keep else VISIBLE.get(c) or _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return repr(character)[1:-1] if unicodedata.category(character)[0] in "CZ" else character


def _resolved(side: str | list) -> Text:
    if isinstance(side, str):
        return Text(_shortened(visible(side, keep=" ")))
    lines = [f"{message['role']}: {_shortened(visible(str(message.get('content')), keep=' '))}" for message in side]
    return Text("\n".join(lines))


def _shortened(text: str) -> str:
    half = TEXT_SHOWN // 2
    return text if len(text) <= TEXT_SHOWN else f"{text[:half]} \u2026 {text[-half:]}"


def _table(*heads: str, lang: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, head in enumerate(heads):
        table.add_column(words.text(head, lang), justify="right" if place else "left")
    return table


def _grid() -> Table:
    grid = Table(box=None, show_header=False, pad_edge=False)
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    return grid


def _titled(grid: Table, *facts: str) -> RenderableType:
    return Group(Text.assemble("\n", (visible("  ".join(facts), keep=" "), "bold")), grid)
