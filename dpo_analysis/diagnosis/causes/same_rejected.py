"""One rejected text for all pairs: the preference is learned by forbidding that text, whatever the prompt.

Signature: the rejected responses of half of the training pairs are the same, token by token; nearly so where they share
their beginning. Every such pair pushes the same words down, in chosen responses too. That the texts are equal is a fact
of the data; that they make the chosen responses fall is an association. Counter-evidence: what the words of that text
account for (``collision``). Unit: share of the pairs.
Source: the rejected response dominates the gradient, Feng et al. 2024, arXiv:2404.04626.
"""

from dpo_analysis.diagnosis.findings import LIKELY, POSSIBLE, UNLIKELY, Finding
from dpo_analysis.diagnosis.symptoms import EXAMPLES, Symptoms
from dpo_analysis.diagnosis.thresholds import SAME_REJECTED_PAIRS, SAME_REJECTED_SHARE, SAME_START_TOKENS
from dpo_analysis.text.numbers import whole_percent

RANK = 1.5


def find(symptoms: Symptoms) -> list[Finding]:
    """Return one finding where a decline is established and the run has token ids."""
    training = symptoms.training
    if symptoms.statistics is None or training is None or training.rejected is None:
        return []
    texts = training.rejected
    enough = texts.n_pairs >= SAME_REJECTED_PAIRS
    same, begins = enough and texts.same >= SAME_REJECTED_SHARE, enough and texts.same_start >= SAME_REJECTED_SHARE
    verdict = LIKELY if same else POSSIBLE if begins else UNLIKELY
    share = texts.same if same or not begins else texts.same_start
    values = {"share": whole_percent(share), "same": str(texts.n_same), "n": str(texts.n_pairs)}
    values |= {"tokens": str(SAME_START_TOKENS), "split": training.changes.split}
    shown = verdict != UNLIKELY
    rows = set(texts.rows)
    pairs = [str(symptoms.log_ratios.pair_ids[i]) for i, row in enumerate(symptoms.log_ratios.rows) if row in rows]
    finding = Finding(
        "same_rejected",
        verdict,
        "association",
        share=share,
        key=f"diagnosis.same_rejected.{verdict}",
        values=values,
        pairs=tuple(pairs[:EXAMPLES]) if same else (),
        counter=("diagnosis.same_rejected.counter",) if shown else (),
        advice="diagnosis.same_rejected.advice" if shown else "",
        source="arXiv:2404.04626",
    )
    return [finding]
