"""The pairs of imported sums: their ids, and their texts where they are given."""

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from dpo_analysis.data.pairs import Pair, load_pairs
from dpo_analysis.data.tokenization import Response, TokenizedPair
from dpo_analysis.errors import InputError
from dpo_analysis.imported.imported_sums import ImportedPair
from dpo_analysis.runs.manifest import canonical_json
from dpo_analysis.schema import SIDES

TEXTS = ("prompt", *SIDES)
NO_TOKENS = np.zeros(0, dtype=np.int32)


def make_pairs(imported: Sequence[ImportedPair], sources: Sequence[object] | object = ()) -> list[TokenizedPair]:
    """Return the imported pairs as pairs of a run that has no tokens.

    The id of a pair is the pair_id of its rows, else the hash of its texts (as in ``load_pairs``), else SPLIT.ROW.
    Pairs with the same prompt are a group; a pair whose prompt is unknown is a group by itself.

    Args:
        imported: the pairs of the imported sums.
        sources: preference pairs as for ``load_pairs``, matched by pair_id, or by their number within the split.

    Raises:
        InputError: there is no matching preference pair, or two pairs have the same id.
    """
    seen: Counter[str] = Counter()
    pairs = []
    for entry, loaded in zip(imported, _match_sources(imported, sources), strict=True):
        pair = loaded or _pair_from_rows(entry)
        seen[pair.pair_id] += 1
        is_copy = loaded is None and not entry.has_id and seen[pair.pair_id] > 1
        pair_id = f"{pair.pair_id}-{seen[pair.pair_id]}" if is_copy else pair.pair_id
        pairs.append(_without_tokens(dataclasses.replace(pair, pair_id=pair_id, split=entry.split), entry))
    _refuse_equal_ids(pairs)
    return pairs


def pairs_sha256(pairs: Sequence[TokenizedPair]) -> str:
    """Return the sha256 of the ids, splits, groups and texts of all pairs, 64 hex digits."""
    fields = [
        [pair.pair.pair_id, pair.pair.split, pair.group_id, pair.prompt, pair.chosen, pair.rejected] for pair in pairs
    ]
    return hashlib.sha256(canonical_json(fields)).hexdigest()


def _match_sources(imported: Sequence[ImportedPair], sources: Sequence[object] | object) -> list[Pair | None]:
    """Return the preference pair of every imported pair; None for all without sources."""
    source_list = list(sources) if isinstance(sources, list | tuple) else [sources]
    loaded = load_pairs(*source_list)
    by_id = {pair.pair_id: pair for pair in loaded}
    by_split: dict[str, list[Pair]] = {}
    for pair in loaded:
        by_split.setdefault(pair.split, []).append(pair)
    return [_match(pair, by_id, by_split.get(pair.split, [])) if source_list else None for pair in imported]


def _match(imported: ImportedPair, by_id: dict[str, Pair], of_split: Sequence[Pair]) -> Pair:
    """Return the preference pair with the same pair_id, or with the same number in its split."""
    if imported.has_id:
        pair = by_id.get(imported.name)
    else:
        pair = next(iter(of_split[int(imported.name) :][:1]), None)
    if pair is None:
        by_row = f"row {imported.name} of split {imported.split!r}"
        missing = f"pair_id {imported.name[:40]!r}" if imported.has_id else by_row
        raise InputError(
            f"no texts for {imported.where}: {missing} is not among the pairs given for its split ({len(of_split)}); "
            "give the pairs that were scored, as [SPLIT=]PAIRS"
        )
    return pair


def _pair_from_rows(imported: ImportedPair) -> Pair:
    """Return a pair with the texts that its rows have."""
    texts = {name: imported.fields[name] for name in TEXTS if name in imported.fields}
    if len(texts) == len(TEXTS):
        pair = load_pairs([texts], split=imported.split)[0]
        return dataclasses.replace(pair, pair_id=imported.name) if imported.has_id else pair
    pair_id = imported.name if imported.has_id else f"{imported.split}.{imported.name}"
    prompt, chosen, rejected = (texts.get(name, "") for name in TEXTS)
    return Pair(pair_id, imported.split, prompt, chosen, rejected, None, {}, dict(texts), imported.where)


def _without_tokens(pair: Pair, imported: ImportedPair) -> TokenizedPair:
    # An unknown text is None, although TokenizedPair has texts only: the run folder stores it as null.
    texts: dict[str, Any] = {name: _side_text(getattr(pair, name)) for name in TEXTS}
    prompt = texts["prompt"]
    group = hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()[:16] if prompt else pair.pair_id
    identical = texts["chosen"] is not None and texts["chosen"] == texts["rejected"]
    return TokenizedPair(
        pair=dataclasses.replace(pair, where=imported.where),
        group_id=imported.fields.get("group_id", group),
        status="identical" if identical else "ok",
        responses={side: Response(NO_TOKENS, NO_TOKENS, False) for side in SIDES},
        **texts,
    )


def _side_text(side: object) -> str | None:
    """Return a side as text, its messages joined by newlines; None for an empty side, whose text is unknown."""
    if isinstance(side, list):
        return "\n".join(str(message.get("content") or "") for message in side)
    return str(side) or None


def _refuse_equal_ids(pairs: Sequence[TokenizedPair]) -> None:
    times = Counter(pair.pair.pair_id for pair in pairs)
    twice = next((pair_id for pair_id, n in times.items() if n > 1), None)
    if twice is not None:
        where = " and ".join([pair.pair.where for pair in pairs if pair.pair.pair_id == twice][:2])
        raise InputError(f"pair_id {twice[:40]!r} twice in {where}: a pair_id names one pair; change one of them")
