"""Whether the reference knows the chat template: from stored templates, and how likely beginnings and ends are.

A model that was tuned with a template expects the first token of a response behind its prompt, and the end of text
behind a response. Behind another template it does not expect the first token; behind raw text perhaps neither.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from dpo_analysis.arrays.response_sums import pair_index
from dpo_analysis.diagnosis.setup_checks.check import Check
from dpo_analysis.runs import Run
from dpo_analysis.schema import CHOSEN
from dpo_analysis.text.numbers import fixed

TAIL_TOKENS = 3
"""Tokens at the end of a response in which its end of text is looked for: ChatML has a newline behind it."""
SAMPLED_PAIRS = 256
"""Pairs of the first scored part whose responses are read, or a little more: whole row groups are."""
FAR_BELOW_CHANCE = math.log(10)
"""Nats below the log-prob of a token drawn at random from the vocabulary: a token that is ten times less likely than
chance is no accident of a model that was trained little or not at all, whose guesses lie near chance."""

SURPRISED_TIMES = 1.25
"""Mean negative log-prob of a chosen token over the reference's mean entropy there. On texts like those that a model
was tuned on both are equal; a chat model that reads raw text is surer than it should be. A few hundred responses like
those it was tuned on lie within a tenth of 1."""


class Expectation(NamedTuple):
    """How unlikely the reference finds the chosen responses; NaN where not known.

    Attributes:
        first: negative log-prob of the first token of a response, nats, median.
        end: that of its end of text, nats, median.
        chance: that of a token drawn at random, nats: the log of the size of the vocabulary.
        surprise: mean negative log-prob of a token over the reference's mean entropy.
        prompts_have_marks: a prompt has a special token behind its first token, as chat templates set them.
    """

    first: float
    end: float
    chance: float
    surprise: float
    prompts_have_marks: bool

    @property
    def unexpected(self) -> tuple[str, ...]:
        """Which of ``first`` and ``end`` are less likely than a token drawn at random."""
        return tuple(name for name in ("first", "end") if getattr(self, name) > self.chance)

    @property
    def far_below_chance(self) -> bool:
        """Whether the first token is far less likely than a token drawn at random."""
        return self.first > self.chance + FAR_BELOW_CHANCE


def check_template(run: Run) -> Check:
    """Return whether the pairs were rendered with the chat template that the models know.

    Three signs are read: another template beside a model, or raw text under models that have a template; a first token
    of the chosen responses that the reference finds less likely than a token drawn at random; and such an end of text.
    The first token and another sign together fail. Another template is worth a look, raw text only where it surprises
    the reference, since base models often have a template that nobody uses.

    Raises:
        StorageError: a part is damaged.
    """
    rendered = run.identity.get("template")
    others = [one.key for one in [run.reference, *run.models] if rendered and one.template not in ("", rendered)]
    known = read_expectation(run)
    values = _texts(known) if known else {}
    if others:
        values["models"] = ", ".join(others[:3]) + (", …" if len(others) > 3 else "")
    has_template = any(one.template for one in [run.reference, *run.models])
    raw = known is not None and not rendered and has_template and not known.prompts_have_marks
    unexpected = known.unexpected if known else ()
    if "first" in unexpected and (others or raw or "end" in unexpected):
        return Check("template", "fail", values, notes=("checks.template.differs",) if others else ())
    if others:
        return Check("template", "warn", values, key="checks.template.differs")
    if raw and known is not None and (unexpected or known.surprise > SURPRISED_TIMES):
        return Check("template", "warn", values, key="checks.template.raw")
    if known is None:
        return Check("template", "unknown")
    return Check("template", "warn" if known.far_below_chance else "pass", values)


def _texts(known: Expectation) -> dict[str, Any]:
    return {name: fixed(getattr(known, name)) for name in ("first", "end", "chance", "surprise")}


def read_expectation(run: Run) -> Expectation | None:
    """Return how the reference expects chosen responses of the first scored part; None without stored tokens.

    ``SAMPLED_PAIRS`` pairs are enough for a median, whatever the size of the run.

    Raises:
        StorageError: a part is damaged.
    """
    parts, vocab = sorted(run.parts_done(run.reference)), run.vocab()
    if not run.has_tokens or vocab is None or not vocab.num_rows or not parts:
        return None
    special = set(vocab.filter(vocab["special"])["token_id"].to_pylist())
    rows = pair_index(run).pairs["row"].to_numpy()
    rows = np.sort(rows[rows // run.part_size == parts[0]])[:SAMPLED_PAIRS].tolist()
    columns = ["row", "side", "logp", "entropy"]
    scores = _chosen(run.scores(run.reference, part=parts[0], columns=columns, rows=rows))
    first, ends, marks = [], [], False
    lost, expected = 0.0, 0.0
    columns = ["row", "side", "prompt_token_ids", "token_ids"]
    for row in _chosen(run.responses(part=parts[0], columns=columns, rows=rows)).values():
        marks = marks or not special.isdisjoint(row["prompt_token_ids"][1:])
        score, ids = scores.get(row["row"], {}), row["token_ids"]
        logp = score.get("logp")
        if not logp or len(logp) != len(ids) or not all(map(math.isfinite, logp)):
            continue
        first.append(-logp[0])
        lost, expected = lost - sum(logp), expected + sum(score.get("entropy") or ())
        tail = [place for place in range(max(len(ids) - TAIL_TOKENS, 0), len(ids)) if ids[place] in special]
        if tail:
            ends.append(-logp[tail[0]])
    surprise = lost / expected if expected else math.nan
    return Expectation(_median(first), _median(ends), math.log(vocab.num_rows), surprise, marks)


def _chosen(table: Any) -> dict[int, dict[str, Any]]:
    """Return the lines of the chosen side by row."""
    return {line["row"]: line for line in table.to_pylist() if line["side"] == CHOSEN}


def _median(values: list[float]) -> float:
    return float(np.median(values)) if values else math.nan
