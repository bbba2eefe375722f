"""A run folder for testing the pages: invented numbers that look like a DPO run, over texts that are hard to show."""

import hashlib
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa

from dpo_analysis import schema
from dpo_analysis.data.pairs import Pair
from dpo_analysis.data.tokenization import Response, TokenizedPair
from dpo_analysis.runs import Model, RunWriter, Series
from dpo_analysis.scoring.loop import score_parts
from dpo_analysis.scoring.requests import TokenScores
from tests.app import evident_pairs

HOSTILE = [
    "<script>document.title='owned'</script>",
    "</style><style>body{display:none}</style>",
    "<img src=http://example.invalid/x onerror=alert(1)>",
    "&amp; <b>bold</b> \"quotes\" 'single'",
    "![beacon](http://example.invalid/beacon.png) **stars** $x^2$ :red[colour]",
    "مرحبا بالعالم (ok)",
    "天津是首都。你好，世界！",
    "👩‍👩‍👧 é́ naïve",
    "tab\there  two spaces\n\n```py\n    return x < 3\n```",
    "\u202eright to left\u202c zero\u200bwidth bell\x07",
    "[link](javascript:alert(1)) `code` {{7*7}} %{x}",
    "<iframe srcdoc=\"<script>parent.document.title='owned'</script>\">",
]
ENDINGS = ["Yes, 8 lamps are due on Sunday.", "Is there anything else I can help you with?"]
STEPS = (60, 120, 180, 240, 300)


def pieces(text: str, size: int = 4) -> list[int]:
    """Cut the UTF-8 bytes into tokens of up to ``size`` bytes, anywhere, and give each its id."""
    data = text.encode()
    return [_id(data[place : place + size]) for place in range(0, len(data), size)]


_VOCAB: dict[bytes, int] = {}


def _id(piece: bytes) -> int:
    return _VOCAB.setdefault(piece, len(_VOCAB))


def pair(number: int, split: str, status: str = "ok") -> TokenizedPair:
    """A pair whose chosen response has hostile text and whose rejected one ends in a favourite phrase.

    Pairs 0 and 1 of a split answer the same prompt.
    """
    texts = {"chosen": f"{HOSTILE[number % len(HOSTILE)]}\n{ENDINGS[0]}", "rejected": f"Of course. {ENDINGS[1]}"}
    asked = 0 if number == 1 else number
    prompt = f"Question {asked}: {HOSTILE[(asked + 5) % len(HOSTILE)]}"
    key = hashlib.sha256(f"{split} {number}".encode()).hexdigest()[:16]
    ids = np.array([number % 7], np.int32)
    responses = {
        side: Response(ids, np.array([*pieces(text, 2 + number % 4), _id(b"<|im_end|>")], np.int32), False)
        for side, text in texts.items()
    }
    row = Pair(
        key, split, prompt, texts["chosen"], texts["rejected"], None, {}, {"prompt": prompt}, "pairs.jsonl:1", ""
    )
    scored = responses if status in schema.SCORED else {}
    group = hashlib.sha256(f"{split} {asked}".encode()).hexdigest()[:16]
    return TokenizedPair(row, group, status, prompt, texts["chosen"], texts["rejected"], scored)


class Scorer:
    """Log-probs that drift with the step: chosen falls a little, rejected a lot, and most of it at few tokens."""

    def __init__(self, strength: float) -> None:
        self.strength = strength

    def score(self, requests: Sequence, *, batch_tokens: int) -> TokenScores:
        ids = np.concatenate([np.zeros(0, np.int32), *(r.token_ids for r in requests)])
        lengths = [len(r.token_ids) for r in requests]
        offsets = np.cumsum([0, *lengths]).astype(np.int64)
        place = np.concatenate([np.zeros(0), *(np.arange(n) for n in lengths)])
        sides = np.repeat([side % 2 for side in range(len(requests))], lengths)
        noise = np.sin(ids * 12.9898) * 43758.5453 % 1
        base = 0.1 + 2 * noise**4
        drift = self.strength * (0.02 - 1.2 * noise**6 - sides * np.exp(-place / 8))
        logp = (-base + np.minimum(drift, base * 0.9)).astype(np.float32)
        rank = (1 + ids % 9).astype(np.int32)
        return TokenScores(
            offsets, logp, (0.3 + noise).astype(np.float32), np.minimum(logp, -0.05), rank, ids.astype(np.int32)
        )


class Source:
    """A model of this run."""

    def __init__(self, model: Model, strength: float) -> None:
        self.model, self.strength = model, strength

    @contextmanager
    def open(self):
        yield Scorer(self.strength)


def model(series: str, step: int | None, name: str = "") -> Model:
    name = name or f"checkpoint-{step}"
    return Model(
        series, name, step, "fake", f"models/{series}/{name}", hashlib.sha256(f"{series}{name}".encode()).hexdigest()
    )


def build(
    path: Path,
    *,
    series: Sequence[str] = ("gentle", "strong"),
    steps: Sequence[int] = STEPS,
    count: int = 12,
    parts: int | None = None,
    evident: int = 0,
) -> Path:
    """Write the run.

    With ``parts`` only so many parts of each model are scored (a run still being written); ``evident`` is how many
    pairs of the first part have evidence topk and kl under the policies of the last series.
    """
    tokenized = [pair(n, split) for split in ("eval", "train") for n in range(count)]
    tokenized += [pair(count, "eval", "too_long"), pair(count + 1, "eval", "empty")]
    reference = Model.reference(source="models/sft", weights="0" * 64)
    policies = [model(name, step) for name in series for step in steps]
    strengths = [0.0] + [(1 + list(series).index(m.series)) * (m.step or 60) / 150 for m in policies]
    identity = {"pairs": "p" * 64, "max_length": 1024, "part_size": 8, "count": count}
    runs = [Series(name, beta=0.1) for name in series]
    vocab = pa.table(
        {"token_id": list(_VOCAB.values()), "bytes": list(_VOCAB), "special": [b"<|" in piece for piece in _VOCAB]},
        schema=schema.VOCAB_SCHEMA,
    )
    facts = {"series": runs, "models": [reference, *policies], "part_size": 8, "vocab": vocab}
    with RunWriter.open(path, identity=identity, tokenized=tokenized, **facts) as writer:
        writer.write_inputs()
        writer.write_curves(_log(series, steps))
        sources = [Source(m, s) for m, s in zip(writer.models, strengths, strict=True)]
        score_parts(writer, sources, batch_tokens=4096, report=lambda progress: None)
        for policy in [m for m in policies if m.series == series[-1]] if evident else []:
            evident_pairs.collect(writer, policy, range(evident), len(_VOCAB))
        if parts is None:
            writer.finish()
    for file in path.glob("scores/*/*/part-*.parquet") if parts is not None else ():
        if int(file.stem.removeprefix("part-")) >= parts:
            file.unlink()
    return path


def _log(series: Sequence[str], steps: Sequence[int]) -> pa.Table:
    rows = [
        {"series": name, "split": split, "step": step, "epoch": None, "metric": metric, "value": value * step / 100}
        for name in series
        for split in ("train", "eval")
        for step in range(20, max(steps) + 1, 20)
        for metric, value in (("chosen_reward", -0.3), ("rejected_reward", -0.5), ("margin", 0.4))
    ]
    return pa.Table.from_pylist(rows, schema=schema.CURVES_SCHEMA)
