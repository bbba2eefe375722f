"""The pairs behind sums from elsewhere: what they are called, and their texts where somebody gives them."""

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np

from dpo_analysis.data.pairs import Pair, load_pairs
from dpo_analysis.data.tokenization import Response, TokenizedPair
from dpo_analysis.errors import InputError
from dpo_analysis.imported.imported_sums import Entry
from dpo_analysis.runs.manifest import canonical
from dpo_analysis.schema import SIDES

TEXTS = ("prompt", *SIDES)
NO_TOKENS = np.zeros(0, dtype=np.int32)


def make_pairs(entries: Sequence[Entry], sources: Sequence[object] | object = ()) -> list[TokenizedPair]:
    """The pairs of a run that has no tokens.

    A pair's id is the one that its rows give, else that of its texts (as ``load_pairs`` makes it), else SPLIT.ROW.
    Pairs of one prompt are one group; one whose prompt is unknown is its own.

    Args:
        entries: what was read.
        sources: preference pairs as for ``load_pairs``, looked up by pair_id, or by place in their split.

    Raises:
        InputError: there is no such preference pair, or two pairs of one id.
    """
    seen: Counter[str] = Counter()
    made = []
    for entry, text in zip(entries, _given(entries, sources), strict=True):
        pair = text or _own(entry)
        seen[pair.pair_id] += 1
        again = text is None and not entry.named and seen[pair.pair_id] > 1
        pair_id = f"{pair.pair_id}-{seen[pair.pair_id]}" if again else pair.pair_id
        made.append(_without_tokens(dataclasses.replace(pair, pair_id=pair_id, split=entry.split), entry))
    _refuse_same_ids(made)
    return made


def digest(pairs: Sequence[TokenizedPair]) -> str:
    """The sha256 of ids, splits, groups and texts, 64 hex digits."""
    facts = [[one.pair.pair_id, one.pair.split, one.group_id, one.prompt, one.chosen, one.rejected] for one in pairs]
    return hashlib.sha256(canonical(facts)).hexdigest()


def _given(entries: Sequence[Entry], sources: Sequence[object] | object) -> list[Pair | None]:
    """The preference pair of every entry; None for all where none are given."""
    named = list(sources) if isinstance(sources, list | tuple) else [sources]
    loaded = load_pairs(*named)
    by_id = {pair.pair_id: pair for pair in loaded}
    by_split: dict[str, list[Pair]] = {}
    for pair in loaded:
        by_split.setdefault(pair.split, []).append(pair)
    return [_found(entry, by_id, by_split.get(entry.split, [])) if named else None for entry in entries]


def _found(entry: Entry, by_id: dict[str, Pair], own: Sequence[Pair]) -> Pair:
    pair = by_id.get(entry.name) if entry.named else next(iter(own[int(entry.name) :][:1]), None)
    if pair is None:
        what = f"pair_id {entry.name[:40]!r}" if entry.named else f"row {entry.name} of split {entry.split!r}"
        raise InputError(
            f"no texts for {entry.where}: the pairs given have no {what} (they have {len(own)} of this split); give "
            "the pairs that were scored, as [SPLIT=]PAIRS"
        )
    return pair


def _own(entry: Entry) -> Pair:
    """A pair of what its own rows tell."""
    known = {name: entry.facts[name] for name in TEXTS if name in entry.facts}
    if len(known) == len(TEXTS):
        pair = load_pairs([known], split=entry.split)[0]
        return dataclasses.replace(pair, pair_id=entry.name) if entry.named else pair
    name = entry.name if entry.named else f"{entry.split}.{entry.name}"
    prompt, chosen, rejected = (known.get(one, "") for one in TEXTS)
    return Pair(name, entry.split, prompt, chosen, rejected, None, {}, dict(known), entry.where)


def _without_tokens(pair: Pair, entry: Entry) -> TokenizedPair:
    told = {name: _plain(getattr(pair, name)) for name in TEXTS}
    prompt = told["prompt"]
    group = hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()[:16] if prompt else pair.pair_id
    same = told["chosen"] is not None and told["chosen"] == told["rejected"]
    return TokenizedPair(
        pair=dataclasses.replace(pair, where=entry.where),
        group_id=entry.facts.get("group_id", group),
        status="identical" if same else "ok",
        responses={side: Response(NO_TOKENS, NO_TOKENS, False) for side in SIDES},
        **told,
    )


def _plain(side: object) -> str | None:
    """A side as text, messages one below the other; None for an empty one, which nobody gave."""
    if isinstance(side, list):
        return "\n".join(str(message.get("content") or "") for message in side)
    return str(side) or None


def _refuse_same_ids(pairs: Sequence[TokenizedPair]) -> None:
    twice = next((one for one, n in Counter(pair.pair.pair_id for pair in pairs).items() if n > 1), None)
    if twice is not None:
        where = " and ".join([pair.pair.where for pair in pairs if pair.pair.pair_id == twice][:2])
        raise InputError(f"pair_id {twice[:40]!r} twice in {where}: it names one pair of the run; give each its own")
