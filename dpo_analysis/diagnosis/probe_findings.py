"""What the probes of a checkpoint add to a diagnosis: sentences that inform and name no cause."""

from dpo_analysis.diagnosis.findings import Measurement
from dpo_analysis.runs import Model, Run
from dpo_analysis.tables.probes import kept_mass_table, swap_table
from dpo_analysis.text.numbers import fixed, signed_fixed, whole_percent


def read_probe_findings(run: Run, model: Model) -> list[Measurement]:
    """Return how much of the reference's probability mass ``model`` keeps, and its core behind its own opening.

    Empty without probes.

    Raises:
        StorageError: a file is damaged.
    """
    findings = []
    for row in kept_mass_table(run, model=model.key).to_dict("records"):
        values = {"model": model.name, "kept": fixed(row["kept_mass"])}
        values |= {"low": fixed(row["low"]), "high": fixed(row["high"]), "n": str(row["n_samples"])}
        findings.append(Measurement("diagnosis.probe.kept", values))
    for row in swap_table(run, model=model.key).to_dict("records"):
        values = {"model": model.name, "n": str(row["n_prompts"]), "same": whole_percent(row["same_opening"])}
        values |= {"own": signed_fixed(row["core_own"]), "low": signed_fixed(row["core_own_low"])}
        values |= {"high": signed_fixed(row["core_own_high"]), "chosen": signed_fixed(row["core_chosen"])}
        findings.append(Measurement("diagnosis.probe.swap", values))
    return findings
