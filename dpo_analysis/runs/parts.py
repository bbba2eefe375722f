"""The plan of a run: the pairs of each part, fixed before the first forward pass, and the files of a part."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from dpo_analysis import schema
from dpo_analysis.errors import StorageError
from dpo_analysis.runs.records import Model
from dpo_analysis.runs.safe_files import encode_name
from dpo_analysis.text.bounded_json import parse_json

if TYPE_CHECKING:
    from dpo_analysis.data.tokenization import TokenizedPair

PART_FILE = re.compile(r"part-(\d{5,9})\.parquet")
SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Part:
    """The pairs that are scored and stored together: ``rows[i]`` is the row of ``pairs[i]``.

    ``index`` is row // part_size for each of its rows.
    """

    index: int
    rows: list[int]
    pairs: "list[TokenizedPair]"

    @property
    def keys(self) -> list[tuple[int, str, str]]:
        """Row, pair_id and side of every response that is scored, in the order of the files."""
        return [
            (row, pair.pair.pair_id, side)
            for row, pair in zip(self.rows, self.pairs, strict=True)
            for side in pair.responses
        ]


def plan_parts(tokenized: "Sequence[TokenizedPair]", part_size: int) -> tuple[list[Part], int]:
    """Divide the pairs into parts of at most ``part_size`` rows; pairs of the same group are in the same part.

    Groups keep the order in which they first appear. A group that does not fit into the rest of a part begins the next
    part, so rows have gaps.

    Returns:
        The parts, and the part size in effect: the larger of ``part_size`` and the largest group.
    """
    groups: dict[tuple[str, int], list[TokenizedPair]] = {}
    for index, pair in enumerate(tokenized):
        groups.setdefault((pair.group_id, -1 if pair.group_id else index), []).append(pair)
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
    """Return the path of the file of part ``index`` in ``folder``, relative to the run folder."""
    return f"{folder}/part-{index:05d}.parquet"


def scores_folder(model: Model) -> str:
    """Return the folder with the scores of ``model``, relative to the run folder."""
    if model.is_reference:
        return f"scores/{schema.REFERENCE}"
    return f"scores/{encode_name(model.series)}/{encode_name(model.name)}"


def pairs_table(part: Part) -> pa.Table:
    """Return the pairs of a part in ``PAIRS_SCHEMA``: a row for every pair, whatever its status."""
    pairs = part.pairs
    columns = {
        "row": part.rows,
        "pair_id": [pair.pair.pair_id for pair in pairs],
        "group_id": [pair.group_id for pair in pairs],
        "split": [pair.pair.split for pair in pairs],
        "prompt": [_valid_unicode(pair.prompt) for pair in pairs],
        "chosen": [_valid_unicode(pair.chosen) for pair in pairs],
        "rejected": [_valid_unicode(pair.rejected) for pair in pairs],
        "source": [_source_json(pair.pair.source) for pair in pairs],
        "status": [pair.status for pair in pairs],
    }
    return pa.table(columns, schema=schema.PAIRS_SCHEMA)


def responses_table(part: Part) -> pa.Table:
    """Return the responses of a part in ``RESPONSES_SCHEMA``: a row for every response that is scored."""
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


def _valid_unicode(text: str | None) -> str | None:
    """Return ``text`` with lone surrogates replaced, since Arrow stores valid UTF-8 only."""
    return None if text is None else SURROGATES.sub("\ufffd", text)


def source_row(text: str | None) -> Any:
    """Return the source row of a pair from its JSON text in ``PAIRS_SCHEMA``; an empty dictionary where it is unknown.

    Raises:
        StorageError: the text is no JSON, or goes beyond the bounds of ``text.bounded_json``.
    """
    try:
        return parse_json(text) if text else {}
    except ValueError as error:
        raise StorageError(
            f"damaged run folder: the source row of a pair is no JSON ({error}); take the folder from where it was made"
        ) from error


def _source_json(source: object) -> str:
    """Return a row as JSON: NaN and infinities as null, objects that JSON does not know as their text."""
    try:
        text = json.dumps(source, ensure_ascii=False, allow_nan=False, default=str)
    except ValueError:
        text = json.dumps(_without_nonfinite(source), ensure_ascii=False, default=str)
    return json.dumps(json.loads(text)) if SURROGATES.search(text) else text


def _without_nonfinite(value: Any) -> Any:
    """Return ``value`` with None in place of every number that is not finite."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _without_nonfinite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nonfinite(inner) for inner in value]
    return value
