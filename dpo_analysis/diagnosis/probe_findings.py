"""What the probes add to a diagnosis, in sentences: they inform, and name no cause."""

from dpo_analysis.diagnosis.findings import Measured
from dpo_analysis.diagnosis.symptoms import nats, plain, share
from dpo_analysis.runs import Model, Run
from dpo_analysis.tables.probes import kept_mass_table, swap_table


def probe_sentences(run: Run, model: Model) -> list[Measured]:
    """How much of what the reference says ``model`` keeps, and its core behind its own opening; empty without probes.

    Raises:
        StorageError: a file is damaged.
    """
    kept, swap = (table(run, model=model.key) for table in (kept_mass_table, swap_table))
    found = []
    for row in kept.itertuples():
        values = {"model": model.name, "kept": plain(row.kept_mass), "low": plain(row.low), "high": plain(row.high)}
        found.append(Measured("diagnosis.probe.kept", values | {"n": str(row.n_samples)}))
    for row in swap.itertuples():
        values = {"model": model.name, "n": str(row.n_prompts), "same": share(row.same_opening)}
        values |= {"own": nats(row.core_own), "low": nats(row.core_own_low), "high": nats(row.core_own_high)}
        found.append(Measured("diagnosis.probe.swap", values | {"chosen": nats(row.core_chosen)}))
    return found
