"""The plan of a run: which pairs make up which part, fixed before the first forward, and the files of a part."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from dpo_analysis import schema
from dpo_analysis.runs.records import Model
from dpo_analysis.runs.safe_files import encode_name

if TYPE_CHECKING:
    from dpo_analysis.data.tokenization import TokenizedPair

PART_FILE = re.compile(r"part-(\d{5,9})\.parquet")
SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Part:
    """A fixed range of rows: ``rows[i]`` is the row of ``pairs[i]``; row // part_size is ``index``."""

    index: int
    rows: list[int]
    pairs: "list[TokenizedPair]"

    @property
    def keys(self) -> list[tuple[int, str, str]]:
        """(row, pair_id, side) of every response that is scored, in the order of the files."""
        return [
            (row, pair.pair.pair_id, side)
            for row, pair in zip(self.rows, self.pairs, strict=True)
            for side in pair.responses
        ]


def plan_parts(tokenized: "Sequence[TokenizedPair]", part_size: int) -> tuple[list[Part], int]:
    """Cut the pairs into parts of at most ``part_size`` rows; a group is never split.

    Groups keep the order in which they first appear. A group that does not fit into what is left of a part begins
    the next one, so rows have gaps.

    Returns:
        The parts, and the part size in effect: the larger of ``part_size`` and the largest group.
    """
    groups: dict[tuple[str, int], list[TokenizedPair]] = {}
    for place, pair in enumerate(tokenized):
        groups.setdefault((pair.group_id, -1 if pair.group_id else place), []).append(pair)
    size = max([part_size, *map(len, groups.values())])
    parts: list[Part] = []
    for group in groups.values():
        if not parts or len(parts[-1].rows) + len(group) > size:
            parts.append(Part(len(parts), [], []))
        part = parts[-1]
        first = part.index * size + len(part.rows)
        part.rows.extend(range(first, first + len(group)))
        part.pairs.extend(group)
    return parts, size


def part_path(folder: str, index: int) -> str:
    """The file of part ``index`` in ``folder``, relative to the run folder."""
    return f"{folder}/part-{index:05d}.parquet"


def scores_folder(model: Model) -> str:
    """Where the scores of ``model`` lie, relative to the run folder."""
    if model.is_reference:
        return f"scores/{schema.REFERENCE}"
    return f"scores/{encode_name(model.series)}/{encode_name(model.name)}"


def pairs_table(part: Part) -> pa.Table:
    """One row per pair of the part, in ``PAIRS_SCHEMA``; nothing is left out, whatever its status."""
    pairs = part.pairs
    columns = {
        "row": part.rows,
        "pair_id": [pair.pair.pair_id for pair in pairs],
        "group_id": [pair.group_id for pair in pairs],
        "split": [pair.pair.split for pair in pairs],
        "prompt": [_text(pair.prompt) for pair in pairs],
        "chosen": [_text(pair.chosen) for pair in pairs],
        "rejected": [_text(pair.rejected) for pair in pairs],
        "source": [_json(pair.pair.source) for pair in pairs],
        "status": [pair.status for pair in pairs],
    }
    return pa.table(columns, schema=schema.PAIRS_SCHEMA)


def responses_table(part: Part) -> pa.Table:
    """One row per scored response of the part, in ``RESPONSES_SCHEMA``."""
    responses = [response for pair in part.pairs for response in pair.responses.values()]
    keys = part.keys
    columns = {
        "row": [row for row, _, _ in keys],
        "pair_id": [pair_id for _, pair_id, _ in keys],
        "side": [side for _, _, side in keys],
        "prompt_token_ids": pa.array([r.prompt_token_ids for r in responses], pa.list_(pa.int32())),
        "token_ids": pa.array([r.token_ids for r in responses], pa.list_(pa.int32())),
        "truncated": [bool(r.truncated) for r in responses],
    }
    return pa.table(columns, schema=schema.RESPONSES_SCHEMA)


def _text(text: str | None) -> str | None:
    return None if text is None else SURROGATES.sub("\ufffd", text)


def _json(source: object) -> str:
    """The row as JSON: NaN and infinities become null, foreign objects their text."""
    try:
        text = json.dumps(source, ensure_ascii=False, allow_nan=False, default=str)
    except ValueError:
        text = json.dumps(_finite(source), ensure_ascii=False, default=str)
    return json.dumps(json.loads(text)) if SURROGATES.search(text) else text


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value
