"""How strongly each cause is planted, and how often: (highest learning rate, number of pairs) from weak to strong."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dose:
    """One way to plant one cause.

    Attributes:
        cause: what a diagnosis should name; ``none`` for nothing.
        where: the planted segment, or the plant's variant.
        plant: a key of ``plants.PLANTS``, or ``reference_samples``.
        doses: (learning rate, pairs) that the runs take in turn.
        fit: runs in FIT.
        test: runs in TEST.
        kind: plant, clean, decoy, mixture or artefact.
        sft_weight: of the SFT term.
        artefact: see ``plan.Entry``.
        second: see ``plan.Entry``.
    """

    cause: str
    where: str
    plant: str
    doses: tuple[tuple[float, int], ...]
    fit: int
    test: int
    kind: str = "plant"
    sft_weight: float = 0.0
    artefact: str = ""
    second: tuple[str, str] | tuple[()] = ()


def _clean(where: str, plant: str, *doses: tuple[float, int], sft_weight: float = 0.0) -> Dose:
    return Dose("none", where, plant, doses, 2, 5, "clean", sft_weight)


FIRST = (
    Dose("collision", "closing", "collision", ((9e-5, 192), (1.2e-4, 144), (1.5e-4, 144), (2e-4, 96)), 4, 8),
    Dose("style_drift", "opening", "drift", ((1.5e-4, 192), (1.8e-4, 144), (2.2e-4, 144), (2.8e-4, 96)), 4, 10),
    Dose("near_identical", "core", "near", ((6e-4, 288), (7e-4, 288), (8e-4, 288), (7e-4, 216)), 8, 20),
    Dose("generic_drift", "natural", "plain", ((8e-4, 288), (1.2e-3, 288), (1.6e-3, 288), (2.2e-3, 288)), 4, 10),
    Dose("collision", "opening", "collision", ((8e-5, 192), (9e-5, 144), (1.1e-4, 144), (1.6e-4, 96)), 4, 8),
    Dose("competing_answer", "core", "drift", ((1e-4, 144), (1.2e-4, 144), (1.1e-4, 192), (1.6e-4, 96)), 8, 20),
    Dose(
        "off_policy_rejected", "shuffled", "off_policy", ((2.5e-4, 288), (4e-4, 288), (6e-4, 288), (5e-4, 216)), 4, 10
    ),
    _clean("closing", "collision", (2e-5, 144), (3e-5, 96)),
    _clean("natural", "plain", (5e-5, 288), (7e-5, 288)),
    Dose("collision", "core", "collision", ((1e-4, 144), (1.2e-4, 144), (1.1e-4, 192), (1.5e-4, 96)), 4, 8),
    Dose("style_drift", "closing", "drift", ((1.3e-4, 192), (1.6e-4, 144), (2e-4, 144), (2.5e-4, 96)), 4, 10),
    Dose("off_policy_rejected", "garbled", "off_policy", ((5e-4, 288), (6e-4, 288), (8e-4, 288), (7e-4, 216)), 4, 10),
    Dose("generic_drift", "random", "plain", ((6e-4, 288), (8e-4, 288), (1e-3, 288), (1.3e-3, 288)), 4, 10),
    _clean("opening", "drift", (3e-5, 144), (4e-5, 144)),
    _clean("core", "near", (5e-5, 288), (1.5e-4, 288)),
    _clean("opening", "collision", (2e-5, 144), (3e-5, 96)),
    _clean("core", "drift", (2e-5, 144), (3e-5, 96)),
    _clean("closing", "drift", (3e-5, 144), (4e-5, 144)),
    _clean("shuffled", "off_policy", (3e-5, 288), (5e-5, 288)),
    _clean("core", "collision", (2e-5, 144), (3e-5, 96)),
)
"""What a rule is fitted on first."""
LATER = (
    Dose("contradiction", "flips", "contradiction", ((1e-4, 96), (1.2e-4, 84), (1.5e-4, 72), (2e-4, 48)), 4, 20),
    Dose("contradiction", "copies", "contradiction", ((5e-4, 192), (6e-4, 192), (8e-4, 192), (1e-3, 144)), 4, 4),
    Dose("length_or_eos", "end", "length", ((1.1e-4, 144), (1.3e-4, 144), (1.6e-4, 96), (2e-4, 96)), 4, 10),
    Dose("length_or_eos", "closing", "length", ((9e-5, 96), (9e-5, 144), (1.1e-4, 96), (1.3e-4, 72)), 4, 10),
    Dose(
        "reference_effect", "samples", "reference_samples", ((4e-4, 288), (6e-4, 288), (8e-4, 288), (1e-3, 288)), 8, 20
    ),
    Dose("artefact", "eos", "plain", ((6e-5, 288), (1e-4, 288)), 2, 7, "artefact", artefact="eos"),
    Dose("artefact", "template", "plain", ((6e-5, 288), (1e-4, 288)), 2, 7, "artefact", artefact="template"),
    Dose("artefact", "reference", "plain", ((6e-5, 288), (1e-4, 288)), 2, 7, "artefact", artefact="reference"),
    _clean("end", "length", (2e-5, 144), (3e-5, 96)),
    _clean("foreign", "off_policy", (3e-4, 288), (6e-4, 288)),
    _clean("flips", "contradiction", (2e-5, 72), (2e-5, 48)),
    _clean("samples", "reference_samples", (5e-5, 288), (1e-4, 288)),
    _clean("natural", "plain", (1e-4, 288), (1.5e-4, 288), sft_weight=1.0),
    _clean("closing", "collision", (4e-5, 144), (6e-5, 96), sft_weight=1.0),
    Dose("collision", "closing", "collision", ((2.5e-4, 30), (3e-4, 30)), 1, 3, "decoy"),
    Dose("style_drift", "opening", "drift", ((3e-4, 30), (4e-4, 30)), 1, 3, "decoy"),
    Dose("generic_drift", "opening", "drift", ((1.5e-3, 30), (2e-3, 30)), 1, 3, "decoy"),
    Dose("generic_drift", "core", "near", ((1.5e-3, 96), (2e-3, 96)), 1, 3, "decoy"),
    Dose(
        "collision", "closing", "collision", ((1.5e-4, 144), (2e-4, 144)), 1, 4, "mixture", second=("drift", "opening")
    ),
    Dose("collision", "opening", "collision", ((1.5e-4, 144), (2e-4, 144)), 1, 4, "mixture", second=("near", "core")),
    Dose("competing_answer", "core", "drift", ((1.5e-4, 144), (2e-4, 144)), 1, 4, "mixture", second=("length", "end")),
)
"""The other causes, what only looks like one, runs with an SFT term, and two causes at once."""
