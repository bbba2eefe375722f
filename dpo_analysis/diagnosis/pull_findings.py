"""What the causes by pull share: the lost probability went to tokens that other pairs choose in the same context."""

from collections.abc import Collection

from dpo_analysis.diagnosis.findings import LIKELY, POSSIBLE, UNLIKELY, Finding
from dpo_analysis.diagnosis.symptoms import PULLED, UNDECIDED, Case, nats, plain, share


def pulled_at(case: Case, cause: str, where: Collection[str], source: str) -> list[Finding]:
    """A finding for each of these places that is pulled, or undecided; one that says no where none is."""
    if case.ledger is None or case.signals is None:
        return []
    told = {place: way for place, way in case.directions.items() if way in (PULLED, UNDECIDED) and place in where}
    found = [_at(case, cause, source, *one) for one in told.items()]
    moved = {place: gain for place, gain in case.shifted.items() if place in where and told.get(place) != PULLED}
    found += [_moved(case, cause, source, *one) for one in moved.items()]
    return found or [_none(case, cause, where, source)]


def _at(case: Case, cause: str, source: str, place: str, way: str) -> Finding:
    pairs, shown = case.examples(case.ledger.tokens.pulled, place)  # type: ignore[union-attr]
    own = case.share_at("pulled", place)
    values = _values(case, own.share) | {"place": f"causes.place.{place}"}
    values |= {"low": share(own.low), "high": share(own.high)}
    key = "diagnosis.undecided" if way == UNDECIDED else f"diagnosis.{cause}.likely"
    return Finding(
        cause, POSSIBLE if way == UNDECIDED else LIKELY, "association", place, own.share, own.low, own.high,
        key=key, values=values, pairs=pairs, tokens=shown, counter=("diagnosis.data_driven.counter",),
        advice=f"diagnosis.{cause}.advice", source=source,
    )  # fmt: skip


def _moved(case: Case, cause: str, source: str, place: str, gain: float) -> Finding:
    """A finding for a place at which the chosen responses that did not fall gained."""
    lost = case.signals.by_place[place]["weight"]  # type: ignore[union-attr, index]
    values = _values(case, lost) | {"place": f"causes.place.{place}", "gain": nats(gain)}
    return Finding(
        cause, LIKELY, "association", place, key=f"diagnosis.{cause}.moved", values=values,
        pairs=case.fallen_first(), counter=("diagnosis.moved.counter",), advice=f"diagnosis.{cause}.advice",
        source=source,
    )  # fmt: skip


def _none(case: Case, cause: str, where: Collection[str], source: str) -> Finding:
    total = sum(case.share_at("pulled", place).share for place in where)
    return Finding(cause, UNLIKELY, "association", "", total, key=f"diagnosis.{cause}.unlikely",
                   values=_values(case, total), source=source)  # fmt: skip


def _values(case: Case, own: float) -> dict[str, str]:
    found = {"share": share(own)} | {name: share(one.share) for name, one in case.shares.items()}
    found["n"] = str(case.ledger.contexts.n_pairs)  # type: ignore[union-attr]
    return found | {"x": plain(case.signals.x if case.signals else float("nan"))}
