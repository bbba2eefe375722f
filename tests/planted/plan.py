"""Which runs there are: an entry says one run in full, a plan is a named list of entries, its causes taking turns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.planted.doses import FIRST, LATER, Dose


@dataclass(frozen=True, slots=True)
class Entry:
    """One run.

    Attributes:
        kind: plant, clean, decoy, mixture or artefact.
        cause: the name that a diagnosis should give; ``none`` where nothing should be named.
        where: the planted segment, or the plant's variant.
        plant: a key of ``plants.PLANTS``, or ``reference_samples``.
        dose: how many of the 288 pairs carry it.
        lr: the highest learning rate.
        family: whose questions are asked.
        families: what the reference was taught.
        width: of the model.
        sft_seed: of the reference.
        seed: of the pairs and of the training.
        sft_weight: of the SFT term.
        lora: whether an adapter is trained.
        artefact: what is scored otherwise than it was trained: eos, template, reference, or nothing.
        sft_steps: of the reference's training.
        second: of a mixture, the other plant and its segment.
    """

    kind: str
    cause: str
    where: str
    plant: str
    dose: int
    lr: float
    family: str
    families: tuple[str, ...]
    width: int
    sft_seed: int
    seed: int
    sft_weight: float = 0.0
    lora: bool = False
    artefact: str = ""
    sft_steps: int = 1500
    second: tuple[str, str] | tuple[()] = ()

    @property
    def name(self) -> str:
        """A folder's name that no other entry of a plan has."""
        words = [self.kind, self.cause, self.where, self.plant if self.kind != "plant" else "", *self.second]
        words += [self.artefact, f"d{self.dose}", f"lr{self.lr:g}", self.family, f"s{self.sft_seed}", str(self.seed)]
        words += ["sft"] * bool(self.sft_weight) + ["lora"] * self.lora
        return "-".join(word for word in words if word)

    def as_json(self) -> dict[str, Any]:
        """All fields, for truth.json."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a plan's runs grow.

    Attributes:
        families: what the references are taught and asked.
        width: of the models.
        sft_seeds: of the references.
        first_seed: of the pairs; every entry has its own.
        pace: learning rates here, in learning rates of ``doses``.
        sft_steps: of the references' training.
        lora_every: every n-th run of a dose trains an adapter; 0 for none.
        often: runs of a dose here, in runs that ``doses`` has for a test.
        calm: the same of a clean dose; as ``often`` if not given.
        rates: what a cause's plants need beyond ``pace`` to fall at all here: set by the truth of a few runs, before
            any diagnosis.
        again: "cause where" -> (runs, rate) added since fewer than twenty of the plan's did what they were planted for;
            the rate comes on top.
    """

    families: tuple[str, ...]
    width: int
    sft_seeds: tuple[int, ...]
    first_seed: int
    pace: float = 1.0
    sft_steps: int = 1500
    lora_every: int = 0
    often: float = 1.0
    calm: float | None = None
    rates: Mapping[str, float] = field(default_factory=dict)
    again: Mapping[str, tuple[int, float]] = field(default_factory=dict)


GROUNDS = {
    "FIT": Ground(("parcels", "trains"), 96, (1, 2), 10_000),
    "TEST": Ground(("plants",), 64, (11, 12, 13), 50_000, pace=1.3, sft_steps=2000, lora_every=5),
    "HELD_OUT": Ground(
        ("books",),
        80,
        (21, 22, 23),
        90_000,
        pace=1.3,
        sft_steps=2000,
        lora_every=5,
        often=1.2,
        rates={"style_drift": 1.1},
    ),
    "UNSEEN": Ground(
        ("halls",),
        112,
        (31, 32, 33),
        130_000,
        pace=1.1,
        sft_steps=2000,
        lora_every=5,
        often=1.2,
        calm=1.0,
        rates={"style_drift": 1.4, "competing_answer": 1.6, "near_identical": 1.1},
        again={
            "length_or_eos closing": (13, 1.6),
            "off_policy_rejected shuffled": (5, 1.4),
            "off_policy_rejected garbled": (4, 1.3),
            "competing_answer core": (7, 1.15),
            "near_identical core": (5, 1.15),
            "reference_effect samples": (4, 1.2),
        },
    ),
}
LORA_RATE = 5.0
"""An adapter's learning rate, in learning rates of all weights."""


def plan(name: str) -> list[Entry]:
    """All entries of a ground in the order in which they are made.

    Wherever it is stopped every dose has had its share; FIT begins with what a rule is fitted on first.
    """
    doses = [*FIRST, *LATER]
    lists = [list(_entries(dose, name, place)) for place, dose in enumerate(doses)]
    spread = [
        (name == "FIT" and place >= len(FIRST), (n + 0.5) / len(entries), place, entry)
        for place, entries in enumerate(lists)
        for n, entry in enumerate(entries)
    ]
    return [entry for *_, entry in sorted(spread, key=lambda one: one[:3])]


def _entries(dose: Dose, name: str, place: int) -> Iterator[Entry]:
    """One dose's runs: families, references and doses all change from run to run."""
    ground = GROUNDS[name]
    rate = ground.pace * (ground.rates.get(dose.cause, 1.0) if dose.kind == "plant" else 1.0)
    often = ground.often if ground.calm is None or dose.kind != "clean" else ground.calm
    planned = dose.fit if name == "FIT" else round(dose.test * often)
    more, faster = ground.again.get(f"{dose.cause} {dose.where}", (0, 1.0)) if dose.kind == "plant" else (0, 1.0)
    for n in range(planned + more):
        lr, count = dose.doses[n % len(dose.doses)]
        lora = bool(ground.lora_every) and n % ground.lora_every == ground.lora_every - 1
        yield Entry(
            kind=dose.kind,
            cause=dose.cause,
            where=dose.where,
            plant=dose.plant,
            dose=count,
            lr=float(f"{lr * rate * (LORA_RATE if lora else 1) * (faster if n >= planned else 1):.3g}"),
            family=ground.families[(n + n // 2 + place) % len(ground.families)],
            families=ground.families,
            width=ground.width,
            sft_seed=ground.sft_seeds[(n + place) % len(ground.sft_seeds)],
            seed=ground.first_seed + 100 * place + n,
            sft_weight=dose.sft_weight,
            lora=lora,
            sft_steps=ground.sft_steps,
            artefact=dose.artefact,
            second=dose.second,
        )
