"""What is made: the references of every ground, and one randomised entry after another, drawn from a fixed seed.

FIT is for thresholds. JUDGE is opened once, at the end; it holds an architecture (qwen3), an optimiser (lion), a band
of lengths (above 110 tokens) and text families (Chinese orders, halls) that FIT lacks.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from tests.planted.world.starts import Start
from tests.planted.world.training import Recipe

STARTS = {
    "FIT": (
        Start("f-parcels-llama", "parcels", "llama", 64, 2, 420, (0, 0), 1),
        Start("f-parcels-gpt2", "parcels", "gpt2", 64, 2, 600, (1, 3), 2),
        Start("f-trains-gemma", "trains", "gemma", 64, 2, 420, (0, 1), 3),
        Start("f-trains-llama", "trains", "llama", 72, 3, 800, (1, 4), 4),
        Start("f-plants-gpt2", "plants", "gpt2", 80, 3, 500, (0, 0), 5),
        Start("f-books-llama", "books", "llama", 64, 2, 400, (2, 5), 7),
        Start("f-hh-llama", "hh", "llama", 80, 2, 800, (0, 0), 8),
    ),
    "JUDGE": (
        Start("j-halls-qwen", "halls", "qwen3", 64, 2, 500, (0, 1), 11),
        Start("j-halls-llama", "halls", "llama", 72, 2, 420, (2, 4), 12),
        Start("j-halls-gpt2", "halls", "gpt2", 64, 2, 500, (7, 10), 13, 450),
        Start("j-zh-qwen", "orders_zh", "qwen3", 64, 2, 600, (0, 2), 14),
        Start("j-zh-llama", "orders_zh", "llama", 64, 2, 500, (2, 5), 15),
        Start("j-trains-gpt2", "trains", "gpt2", 72, 2, 700, (0, 0), 18),
        Start("j-books-qwen", "books", "qwen3", 64, 3, 600, (6, 9), 19, 450),
        Start("j-plants-gemma", "plants", "gemma", 64, 2, 420, (1, 3), 20),
        Start("j-hh-qwen", "hh", "qwen3", 80, 2, 800, (0, 0), 21, half=1),
        Start("j-hh-gpt2", "hh", "gpt2", 80, 2, 600, (0, 0), 22, half=1),
    ),
}
OPTIMIZERS = {
    "FIT": ("adamw", "adamw", "rmsprop", "sgd"),
    "JUDGE": ("adamw", "adamw", "rmsprop", "sgd", "lion", "lion"),
}
SEGMENT_PLANTS = ("collision", "drift", "length")
"""Plants of which a third of the pairs are victims: more held-out pairs are made, so that enough of them can fall."""
FIRST_SEED = {"FIT": 1_000_000, "JUDGE": 2_000_000}
CAUSES: tuple[tuple[str, str, str, str, int], ...] = (
    ("collision", "opening", "collision", "", 5),
    ("collision", "closing", "collision", "", 5),
    ("collision", "core", "collision", "", 2),
    ("style_drift", "opening", "drift", "", 4),
    ("style_drift", "closing", "drift", "", 4),
    ("competing_answer", "core", "drift", "", 5),
    ("near_identical", "core", "near", "", 6),
    ("off_policy_rejected", "shuffled", "off_policy", "", 4),
    ("off_policy_rejected", "foreign", "off_policy", "", 2),
    ("generic_drift", "rate", "natural", "", 7),
    ("generic_drift", "random", "natural", "", 2),
    ("contradiction", "flips", "contradiction", "", 5),
    ("contradiction", "copies", "contradiction", "", 3),
    ("length_or_eos", "end", "length", "", 3),
    ("length_or_eos", "closing", "length", "", 3),
    ("same_rejected", "all", "same", "", 3),
    ("artefact", "reference", "natural", "reference", 3),
    ("artefact", "template", "natural", "template", 3),
    ("artefact", "eos", "natural", "eos", 3),
    ("artefact", "truncation", "natural", "truncation", 2),
    ("swapped_columns", "all", "natural", "swapped", 3),
)
"""(cause, where, plant, artefact, runs in a round of planted entries)."""
SOUND_EVERY = 3
"""Every third entry is a sound run; of these, a third loses .4 to 2 nats."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One run to be made.

    Attributes:
        name: unique in its ground.
        ground: FIT or JUDGE.
        start: the reference.
        cause: what a diagnosis should name; ``none`` for a sound run.
        where: the planted segment, or the variant.
        plant: a key of ``plants.PLANTS``.
        artefact: what is wrong with the setup; empty for nothing.
        share: share of culprits, flips or planted pairs.
        target: (fewest, most) nats that the planted segment, or the mean pair of a sound run, shall lose.
        recipe: how it is trained.
        n_pairs: training pairs.
        n_held_out: held-out pairs.
        scored: eval, both or train: the splits that are scored.
        evidence: the option ``--evidence``; empty for its default.
        seed: of the pairs.
        greedy: whether greedy replies are drawn, for the benchmark of the harm verdict.
    """

    name: str
    ground: str
    start: Start
    cause: str
    where: str
    plant: str
    artefact: str
    share: float
    target: tuple[float, float]
    recipe: Recipe
    n_pairs: int
    n_held_out: int
    scored: str
    evidence: str
    seed: int
    greedy: bool = True

    def as_json(self) -> dict[str, Any]:
        """Return every field."""
        return asdict(self)


def plan(ground: str) -> Iterator[Entry]:
    """Yield the entries of a ground without end; wherever it is stopped, every cause has had its share."""
    rng = random.Random(f"causes {ground}")
    queue: list[tuple[str, str, str, str, int]] = []
    number = 0
    while True:
        seed = FIRST_SEED[ground] + number
        if number % SOUND_EVERY == SOUND_EVERY - 1:
            yield _sound(ground, number, random.Random(seed))
        else:
            queue = queue or rng.sample([cause for cause in CAUSES for _ in range(cause[4])], sum(c[4] for c in CAUSES))
            yield _planted(ground, number, random.Random(seed), queue.pop())
        number += 1


def _planted(ground: str, number: int, rng: random.Random, planted: tuple[str, str, str, str, int]) -> Entry:
    cause, where, plant, artefact, _ = planted
    start = _start(ground, rng, needs_bodies=where == "core" and plant in ("collision", "drift"))
    recipe = _recipe(ground, rng, start, evaluated=artefact in ("reference", "template", "eos"))
    scale = max(1.0, start.fillers[1] / 2)
    target = {
        "collision": (0.8, 6.0),
        "style_drift": (0.6, 3.0),
        "competing_answer": (0.6, 3.0),
        "near_identical": (0.7, 4.0),
        "length_or_eos": (0.8, 5.0),
        "generic_drift": (3.0 * scale, 14.0 * scale),
        "artefact": (0.4, 1.5),
        "swapped_columns": (0.2, 3.0),
    }.get(cause, (0.8, 6.0))
    share = {
        "collision": rng.uniform(0.25, 0.6),
        "drift": rng.uniform(0.35, 0.65),
        "contradiction": rng.uniform(0.2, 0.35) if where == "flips" else rng.uniform(0.5, 0.8),
        "length": rng.uniform(0.3, 0.5),
    }.get(plant, rng.uniform(0.75, 1.0))
    return _entry(ground, number, rng, start, recipe, (cause, where, plant, artefact), share, target)


def _sound(ground: str, number: int, rng: random.Random) -> Entry:
    """A natural run, or at a gentle rate the text of a plant; of every three one loses .4 to 2 nats."""
    start = _start(ground, rng)
    recipe = _recipe(ground, rng, start)
    if number // SOUND_EVERY % 3 == 2:
        return _entry(ground, number, rng, start, recipe, ("none", "ordinary", "natural", ""), 1.0, (0.4, 2.0))
    texts = [
        ("opening", "collision"),
        ("closing", "drift"),
        ("core", "near"),
        ("natural", "natural"),
        ("natural", "natural"),
    ]
    where, plant = rng.choice(texts)
    return _entry(ground, number, rng, start, recipe, ("none", where, plant, ""), 0.4, (0.0, 0.35))


def _entry(ground: str, number: int, rng: random.Random, start: Start, recipe: Recipe, planted: tuple[str, ...],
           share: float, target: tuple[float, float]) -> Entry:  # fmt: skip
    cause, where, plant, artefact = planted
    logged = artefact in ("reference", "template", "eos")
    n_pairs = rng.choice((60, 80, 120, 160, 240)) if rng.random() < 0.98 else 600
    return Entry(
        name=f"{number:04d}-{cause}-{where}",
        ground=ground,
        start=start,
        cause=cause,
        where=where,
        plant=plant,
        artefact=artefact,
        share=round(share, 3),
        target=target,
        recipe=recipe,
        n_pairs=n_pairs,
        n_held_out=rng.choice((60, 70, 80)) + (60 if cause != "none" and plant in SEGMENT_PLANTS else 0),
        scored=rng.choice(("both", "both", "eval", "eval") if logged else ("both", "both", "train", "eval")),
        evidence=rng.choice(("", "", "", "", "fallen", "none")),
        seed=FIRST_SEED[ground] + number,
        greedy=number % 2 == 0,
    )


def _start(ground: str, rng: random.Random, *, needs_bodies: bool = False) -> Start:
    return rng.choice([start for start in STARTS[ground] if not (needs_bodies and start.family == "hh")])


def _recipe(ground: str, rng: random.Random, start: Start, *, evaluated: bool = False) -> Recipe:
    saved = rng.choice(((0.33, 0.67, 1.0), (0.25, 0.5, 0.75, 1.0), (0.5, 1.0), (0.5, 1.0), (0.33, 0.67, 1.0)))
    steps = rng.choice((16, 20, 24, 24, 30, 36))
    return Recipe(
        loop=rng.choice(("own", "trl")),
        optimizer=rng.choice(OPTIMIZERS[ground]),
        schedule=rng.choice(("linear", "cosine", "constant")),
        warmup=rng.choice((0.0, 0.1, 0.1, 0.2)),
        loss=rng.choice(("sigmoid", "sigmoid", "sigmoid", "ipo", "hinge", "robust")),
        beta=rng.choice((0.03, 0.1, 0.1, 0.1, 0.3, 0.5)),
        lora=rng.random() < 0.2,
        batch=8 if start.fillers[1] > 3 else rng.choice((8, 8, 16)),
        steps=steps - steps % len(saved),
        saved=saved,
        evaluated=evaluated or rng.random() < 0.6,
        window=rng.choice((1, 2, 5)),
        seed=rng.randrange(10**6),
    )
