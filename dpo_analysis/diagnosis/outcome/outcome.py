"""Reads everything that the answer of a diagnosis is made of, at the checkpoint shown."""

from collections.abc import Sequence

from dpo_analysis.diagnosis.findings import Finding
from dpo_analysis.diagnosis.outcome.answer import Outcome
from dpo_analysis.diagnosis.outcome.pair_changes import read_pair_changes
from dpo_analysis.diagnosis.outcome.setup import read_setup
from dpo_analysis.diagnosis.symptoms import Symptoms
from dpo_analysis.runs import Run


def read_outcome(run: Run, shown: Symptoms, split: str, findings: Sequence[Finding]) -> Outcome:
    """Return what the answer is made of.

    Args:
        run: an open run.
        shown: symptoms of the checkpoint shown, the last of the series.
        split: split of the pairs.
        findings: the findings of every cause.

    Raises:
        StorageError: a part is damaged.
    """
    log_ratios = shown.log_ratios
    last = len(log_ratios.models) - 1
    training = shown.training
    trained_elsewhere = training is not None and training.trained and training.changes.split != split
    return Outcome(
        shown=read_pair_changes(run, log_ratios.models[last], split),
        fall=shown.fall,
        n_fallen=int(log_ratios.fallen(last).sum()),
        established=log_ratios.established,
        findings=findings,
        train=training.changes if training is not None and trained_elsewhere else None,
        recipients=shown.ledger.recipients() if shown.ledger and shown.has_evidence else {},
        setup=read_setup(run, log_ratios.models[last]),
    )
