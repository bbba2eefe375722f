"""Pairs, models and scores made from nothing but numbers: what scoring a run looks like without any model library."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from dpo_analysis import schema
from dpo_analysis.data.pairs import Pair
from dpo_analysis.data.tokenization import Response, TokenizedPair
from dpo_analysis.runs import Model, Part, RunWriter, Series
from dpo_analysis.runs.evidence import kinds
from dpo_analysis.scoring.loop import score_parts
from dpo_analysis.scoring.requests import Request, TokenScores

IDENTITY = {"pairs": "p" * 64, "tokenizer": {"vocab": "v" * 64, "template": "t" * 64}, "max_length": 64, "part_size": 4}


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def pair(number: int, *, group: str | None = None, split: str = "eval", status: str = "ok") -> TokenizedPair:
    """A pair whose ids follow from its number; one that is not scored has no responses."""
    prompt = np.arange(2 + number % 3, dtype=np.int32) + number
    sides = {
        side: Response(prompt, (np.arange(3 + (number + place) % 5, dtype=np.int32) * 7 + number + place) % 97, False)
        for place, side in enumerate(schema.SIDES)
    }
    if status == "identical":
        sides["rejected"] = sides["chosen"]
    row = Pair(
        sha(f"pair {number}")[:16], split, f"问 {number}", f"yes {number}", f"no {number}", None, {},
        {"prompt": f"问 {number}", "n": number}, f"pairs.jsonl:{number + 1}", "",
    )  # fmt: skip
    return TokenizedPair(
        row, sha(group or f"group {number}")[:16], status, row.prompt, row.chosen, row.rejected,
        sides if status in schema.SCORED else {},
    )  # fmt: skip


def pairs(count: int = 10) -> list[TokenizedPair]:
    """Pairs in two splits; the second is identical, the third is empty, the fifth and seventh share a prompt."""
    statuses = {1: "identical", 2: "empty"}
    groups = {4: "shared", 6: "shared"}
    return [
        pair(n, group=groups.get(n), split="eval" if n % 3 else "train", status=statuses.get(n, "ok"))
        for n in range(count)
    ]


REFERENCE = Model.reference(source="models/sft", weights=sha("reference"))
SERIES = [Series("gentle", beta=0.1), Series("strong", beta=0.5, loss_type="ipo")]
POLICIES = [
    Model("gentle", "checkpoint-10", 10, "fake", "models/g/checkpoint-10", sha("gentle 10")),
    Model("strong", "checkpoint-10", 10, "fake", "models/s/checkpoint-10", sha("strong 10")),
]
MODELS = [REFERENCE, *POLICIES]
VOCAB = pa.table(
    {"token_id": list(range(97)), "bytes": [bytes([n]) for n in range(97)], "special": [n < 2 for n in range(97)]},
    schema=schema.VOCAB_SCHEMA,
)
GOLDEN_STATUSES = ("truncated", "identical", "empty", "ok")
CURVES = pa.table(
    {"series": ["gentle"], "split": ["train"], "step": [10], "epoch": [1.0], "metric": ["loss"], "value": [0.69]},
    schema=schema.CURVES_SCHEMA,
)


class FakeScorer:
    """Numbers that follow from weights and ids alone; runs out of memory over ``memory`` tokens of one batch."""

    def __init__(self, model: Model, *, memory: int = 10**9, infinite: int = -1) -> None:
        self.seed = int(model.weights[:6], 16)
        self.memory, self.infinite = memory, infinite
        self.calls: list[tuple[int, int]] = []

    def score(self, requests: Sequence[Request], *, batch_tokens: int) -> TokenScores:
        self.calls.append((len(requests), batch_tokens))
        longest = max((len(r.prompt_token_ids) + len(r.token_ids) for r in requests), default=0)
        total = sum(len(r.prompt_token_ids) + len(r.token_ids) for r in requests)
        if min(total, max(longest, batch_tokens)) > self.memory:
            raise MemoryError
        offsets = np.cumsum([0, *(len(r.token_ids) for r in requests)]).astype(np.int64)
        values = np.concatenate([np.zeros(0), *map(self._values, requests)])
        logp = (-0.01 - values).astype(np.float32)
        ids = np.concatenate([np.zeros(0, np.int32), *(r.token_ids for r in requests)])
        if self.infinite >= 0:
            logp[ids == self.infinite] = -np.inf
        return TokenScores(
            offsets, logp, (values / 2).astype(np.float32), (-values / 3).astype(np.float32),
            (1 + ids % 5).astype(np.int32), ids.astype(np.int32),
        )  # fmt: skip

    def _values(self, request: Request) -> np.ndarray:
        place = np.arange(len(request.token_ids)) + int(request.prompt_token_ids.sum())
        return (request.token_ids * 31 + place * 17 + self.seed) % 1009 / 250


@dataclass
class FakeSource:
    """A model that opens at once, or that fails to."""

    model: Model
    scorer: FakeScorer | None = None
    error: Exception | None = None
    opened: int = 0

    @contextmanager
    def open(self) -> Iterator[FakeScorer]:
        self.opened += 1
        if self.error is not None:
            raise self.error
        yield self.scorer or FakeScorer(self.model)


class FakeEvidence:
    """Evidence ``kl`` of two pairs of each split, as ``scoring.evidence`` collects it; zeros, without any state."""

    def __init__(self, writer: RunWriter) -> None:
        self.writer, self.rows = writer, kinds.sample_rows(writer.parts, 2)

    def missing_parts(self, model: Model) -> list[Part]:
        return [part for part in self.writer.shard_parts if not model.is_reference and self._missing(model, part)]

    def _missing(self, model: Model, part: Part) -> frozenset[int]:
        stored = kinds.stored_rows(self.writer, "kl", model, part.index)
        return self.rows.intersection(part.rows) - stored

    def n_tokens(self, model: Model, part: Part) -> int:
        return 0

    def prepare(self, model: Model, parts: Sequence[Part]) -> None:
        path = {
            kinds.evidence_path("kl", model, part.index): ("evidence", part.index) for part in self.missing_parts(model)
        }
        self.writer.expected |= path

    def collecting_scorer(self, scorer: FakeScorer, model: Model, part: Part) -> "FakeCollectingScorer | None":
        found = part in self.missing_parts(model)
        return FakeCollectingScorer(self.writer, scorer, model, part, self.rows) if found else None

    def log_cost(self, seconds: float) -> None:
        self.seconds = seconds


@dataclass
class FakeCollectingScorer:
    writer: RunWriter
    scorer: FakeScorer
    model: Model
    part: Part
    rows: frozenset[int]

    def score(self, requests: Sequence[Request], *, batch_tokens: int) -> TokenScores:
        return self.scorer.score(requests, batch_tokens=batch_tokens)

    def collect(self, batch_tokens: int) -> None:
        pass

    def write(self) -> None:
        responses = [response for pair in self.part.pairs for response in pair.responses.values()]
        lines = [(key, one) for key, one in zip(self.part.keys, responses, strict=True) if key[0] in self.rows]
        keys = dict(zip(("row", "pair_id", "side"), zip(*(key for key, _ in lines), strict=True), strict=True))
        values = [np.zeros(len(one.token_ids), np.float32) for _, one in lines]
        table = pa.table(keys | dict.fromkeys(kinds.PER_TOKEN["kl"], values), schema=schema.KL_SCHEMA)
        kinds.add_evidence(self.writer, "kl", self.model, self.part.index, table)


def sources(models: Sequence[Model] = MODELS) -> list[FakeSource]:
    return [FakeSource(model) for model in models]


def open_writer(path, **changes) -> RunWriter:
    """A writer for the run of this file, with what a test wants to be different."""
    facts = {
        "identity": IDENTITY, "tokenized": pairs(), "series": SERIES, "models": MODELS, "part_size": 4, "vocab": VOCAB,
    }  # fmt: skip
    return RunWriter.open(path, **(facts | changes))


def score_run(path, *, policies: Sequence[Model] = POLICIES, opened=sources, collected=FakeEvidence, **changes) -> None:
    """Score the run of this file as the command does: inputs, curves, parts with evidence, checksums."""
    models = [REFERENCE, *policies]
    with open_writer(path, models=models, **changes) as writer:
        writer.write_curves(CURVES)
        found = collected(writer) if collected else None
        score_parts(writer, opened(models), batch_tokens=64, report=lambda progress: None, evidence=found)
        writer.finish()


def golden_run(path) -> None:
    """Four pairs and two policies with everything that a folder of schema 1 can hold, the log aside.

    A gap in the rows, the statuses ok, identical, empty and nonfinite, a truncated response, a name that is encoded on
    disk, and a policy without a step.
    """
    policies = [POLICIES[0], Model("strong", "last 检查点", None, "fake", "models/s/last", sha("strong last"))]
    four = [pair(n, group="shared" if n > 1 else None, status=status) for n, status in enumerate(GOLDEN_STATUSES)]
    four[0] = replace(
        four[0], responses=four[0].responses | {"chosen": replace(four[0].responses["chosen"], truncated=True)}
    )
    infinite = int(four[3].responses["rejected"].token_ids[1])

    def opened(models: Sequence[Model]) -> list[FakeSource]:
        bad = FakeScorer(models[2], infinite=infinite)
        return [FakeSource(models[0]), FakeSource(models[1]), FakeSource(models[2], scorer=bad)]

    facts = {"tokenized": four, "part_size": 3, "identity": IDENTITY | {"part_size": 3}}
    score_run(path, policies=policies, opened=opened, collected=None, **facts)
    for left in [path / "log.jsonl", *path.glob("lock.*")]:
        left.unlink()


def bytes_of(path) -> dict[str, bytes]:
    """Every file of a run folder but the log and the locks: path -> content."""
    files = (file for file in path.rglob("*") if file.is_file())
    found = {file.relative_to(path).as_posix(): file.read_bytes() for file in files}
    return {name: data for name, data in found.items() if name != "log.jsonl" and not name.startswith("lock.")}
