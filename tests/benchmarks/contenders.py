"""Who is measured: this package, TRL's evaluation, TRL's reference pass, and a plain transformers script.

Each scores pairs that are already token ids, with models that are already loaded; none is charged for tokenising,
loading or for its first self-check.
"""

import copy
import importlib
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor, nn
from transformers import PrinterCallback
from trl import DPOConfig, DPOTrainer

from dpo_analysis.scoring.engine.lm_heads import LinearHead
from dpo_analysis.scoring.engine.tiled_head import TokenColumns, score_rows
from dpo_analysis.scoring.requests import Request, TokenScores

Sums = np.ndarray
"""Summed log-probs, (pairs, 2) float64: chosen, rejected; nats."""


def open_engine(name: str, model: nn.Module) -> Any:
    """``MODULE:CLASS`` opened on ``model``; the package's own is dpo_analysis.scoring.engine.engine:Engine."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)(model)


def ours(engines: Sequence[Any], requests: list[Request]) -> list[TokenScores]:
    """All ``requests`` by each engine in turn, at the budget of tokens that its module sets for a CPU."""
    budget = sys.modules[type(engines[0]).__module__].BATCH_TOKENS["cpu"]
    return [engine.score(requests, batch_tokens=budget) for engine in engines]


class LogpHead(LinearHead):
    """A linear head of which nothing is kept but log-probs."""

    def token_columns(self, output: object, states: Tensor, labels: Tensor) -> TokenColumns:
        """The log-probs; the other columns are empty."""
        return score_rows(states, self._weight, self._bias, labels, logp_only=True)


def logp_only(engine: Any, model: nn.Module) -> Any:
    """``engine`` of ``model``, whose head is plain, without what its other columns cost; the weights are shared."""
    slim = copy.copy(engine)
    slim._route = copy.copy(engine._route)
    slim._route.head = LogpHead(model.get_output_embeddings().weight, None)  # type: ignore[operator]
    return slim


def requests_of(rows: Dataset, max_length: int) -> list[Request]:
    """Chosen and rejected of each row, cut at the end as TRL's collator cuts them."""
    made = []
    for row in rows:
        prompt = np.array(row["prompt_ids"], dtype=np.int32)
        for side in ("chosen_ids", "rejected_ids"):
            made.append(Request(prompt, np.array(row[side][: max_length - len(prompt)], dtype=np.int32)))
    return made


def sums_of(scores: TokenScores) -> Sums:
    """Summed log-probs of pairs whose requests were chosen, rejected, chosen, ..."""
    return np.add.reduceat(scores.logp.astype(np.float64), scores.offsets[:-1]).reshape(-1, 2)


class TRL:
    """An unmodified DPOTrainer over the whole corpus, of which samples are evaluated."""

    def __init__(self, policy: nn.Module, reference: nn.Module, corpus: Any, folder: str) -> None:
        """Tokenises ``corpus``; rows are kept on disk below ``folder``."""
        data = Dataset.from_list(corpus.rows)
        options: dict[str, Any] = {"use_cpu": True, "bf16": False, "report_to": "none", "disable_tqdm": True}
        self.default_batch_size = DPOConfig(output_dir=folder, **options).per_device_eval_batch_size
        self.trainer = DPOTrainer(
            model=policy,
            ref_model=reference,
            args=DPOConfig(output_dir=folder, **options),
            train_dataset=data.select([0]),
            eval_dataset={"all": data},
            processing_class=corpus.tokenizer,
        )
        self.trainer.remove_callback(PrinterCallback)
        self.rows: Dataset = self.trainer.eval_dataset["all"]
        self.max_length: int = self.trainer.args.max_length

    def add(self, name: str, indices: list[int]) -> Dataset:
        """Make the rows ``indices`` known as ``name``, in that order."""
        self.trainer.eval_dataset[name] = self.rows.select(indices)
        return self.trainer.eval_dataset[name]

    def evaluate(self, name: str, batch_size: int) -> dict[str, float]:
        """``DPOTrainer.evaluate``: policy and reference over the rows called ``name``."""
        self.trainer.args.per_device_eval_batch_size = batch_size
        return self.trainer.evaluate(name)

    def reference_pass(self, name: str, batch_size: int, model: nn.Module | None = None) -> Sums:
        """``DPOTrainer.compute_ref_log_probs`` over the rows called ``name``, as precompute_ref_log_probs runs it."""
        rows = self.trainer.eval_dataset[name]
        model = model or self.trainer.ref_model
        found = []
        for start in range(0, len(rows), batch_size):
            batch = self.trainer.data_collator([rows[i] for i in range(start, min(start + batch_size, len(rows)))])
            found.append(torch.stack(self.trainer.compute_ref_log_probs(model, batch), dim=1).double().numpy())
        return np.concatenate(found)


def plain_script(model: nn.Module, requests: list[Request], batch_size: int) -> list[np.ndarray]:
    """What one writes first: right-padded batches in the order given, full logits, log_softmax, gather.

    Args:
        model: one causal language model.
        requests: chosen and rejected of each pair, one behind the other.
        batch_size: pairs in a batch.

    Returns:
        Log-probs of each request's response tokens, float32, nats.
    """
    found = []
    for start in range(0, len(requests), 2 * batch_size):
        batch = [np.concatenate(request) for request in requests[start : start + 2 * batch_size]]
        ids = nn.utils.rnn.pad_sequence([torch.from_numpy(row).long() for row in batch], batch_first=True)
        mask = nn.utils.rnn.pad_sequence([torch.ones(len(row), dtype=torch.long) for row in batch], batch_first=True)
        with torch.no_grad():
            logps = model(input_ids=ids, attention_mask=mask).logits[:, :-1].log_softmax(-1)
            logps = logps.gather(-1, ids[:, 1:, None])[..., 0]  # (2 x batch, width - 1)
        for row, request in zip(logps, requests[start:], strict=False):
            first = len(request.prompt_token_ids) - 1
            found.append(row[first : first + len(request.token_ids)].numpy())
    return found


def exact(model: nn.Module, requests: list[Request]) -> list[np.ndarray]:
    """Log-probs of each request's response tokens by ``model`` in float64, one sequence at a time."""
    found = []
    for request in requests:
        ids = torch.from_numpy(np.concatenate(request)).long()
        first = len(request.prompt_token_ids) - 1
        with torch.no_grad():
            states = model.base_model(input_ids=ids[None], use_cache=False).last_hidden_state[0, first:-1]
            logps = model.lm_head(states).log_softmax(-1)
        found.append(logps.gather(-1, ids[first + 1 :, None])[:, 0].numpy())
    return found
