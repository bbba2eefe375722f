"""Token scores from the forward passes of a trainer's evaluation: same batches, same autocast, same adapters.

Log-probs are those that DPOTrainer sums, so that their sums are its logged rewards. Since TRL 1.15 its forward returns
them without the logits, and the other numbers are computed from the hidden states that this forward passes on.
"""

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from accelerate.utils import gather_object
from torch import Tensor, nn

from dpo_analysis.scoring.engine.model_head import reduce_logits
from dpo_analysis.scoring.engine.routes import last_hidden_state
from dpo_analysis.scoring.engine.tiled_head import TokenColumns
from dpo_analysis.scoring.engine.trl_numerics import TrainerHead
from dpo_analysis.scoring.live.fixed_pairs import cut_batch
from dpo_analysis.scoring.models.in_memory import evaluation_mode, reference_adapter
from dpo_analysis.scoring.requests import TokenScores

SequenceScores = dict[str, np.ndarray]
"""The columns of ``TokenScores`` of one response, each of shape (tokens,)."""


class PairScores(NamedTuple):
    """The scores of both responses of a pair."""

    chosen: SequenceScores
    rejected: SequenceScores


class TrainerForward:
    """The models of a DPOTrainer, as its evaluation runs them, on every process of the training."""

    def __init__(self, trainer: Any) -> None:
        """Use the models of ``trainer``, which may not be prepared for training yet."""
        self._trainer = trainer

    def score(
        self, examples: Sequence[Mapping[str, Any]], *, of_reference: bool, batch_size: int | None = None
    ) -> list[PairScores]:
        """Return the scores of every example; every process must call this, and gets all of them.

        Batch number i goes to process i modulo their number, as in the trainer's evaluation. A process without a batch
        in the last round scores the first batch again, since sharded models need every process.

        Args:
            examples: rows with ``fixed_pairs.ID_COLUMNS``.
            of_reference: score with the reference, else with the policy.
            batch_size: pairs of a batch; None for the trainer's ``per_device_eval_batch_size``.
        """
        accelerator = self._trainer.accelerator
        size = batch_size or self._trainer.args.per_device_eval_batch_size
        batches = [examples[start : start + size] for start in range(0, len(examples), size)]
        scored: list[tuple[int, list[PairScores]]] = []
        with self._model(of_reference=of_reference) as (model, base):
            last = _rounded_up(len(batches), accelerator.num_processes)
            for number in range(accelerator.process_index, last, accelerator.num_processes):
                found = self._score_batch(model, base, batches[number if number < len(batches) else 0])
                if number < len(batches):
                    scored.append((number, found))
        gathered = sorted(gather_object(scored), key=lambda item: item[0])
        return [pair for _, pairs in gathered for pair in pairs]

    @contextmanager
    def _model(self, *, of_reference: bool) -> Iterator[tuple[nn.Module, Any]]:
        """Yield the model to call and the language model in it, in eval mode, with the adapter that the policy has."""
        trainer = self._trainer
        separate = of_reference and trainer.ref_model is not None
        policy = trainer.model_wrapped if trainer.is_deepspeed_enabled else trainer.model
        model: Any = trainer.ref_model if separate else policy
        unwrapped = trainer.accelerator.unwrap_model(model)
        adapter = reference_adapter(unwrapped) if of_reference and not separate else None
        with torch.no_grad(), evaluation_mode(unwrapped, adapter), trainer.compute_loss_context_manager():
            yield model, unwrapped.get_base_model() if hasattr(unwrapped, "get_base_model") else unwrapped

    def _score_batch(self, model: nn.Module, base: Any, examples: Sequence[Mapping[str, Any]]) -> list[PairScores]:
        trainer = self._trainer
        batch = trainer._prepare_inputs(trainer.data_collator([dict(example) for example in examples]))
        ids, mask, is_response = cut_batch(trainer, batch)
        # (sequences, tokens - 1): positions whose next token belongs to a response, and that token
        predicts, labels = is_response[:, 1:].bool(), ids[:, 1:]
        inputs = {"input_ids": ids, "attention_mask": mask, "use_cache": False}
        columns = self._columns(model, base, inputs, ids.masked_fill(is_response == 0, -100), predicts, labels)
        sequences = _by_sequence(columns, predicts.sum(dim=1).tolist())
        # as in DPOTrainer's batches, the rejected responses follow the chosen responses
        sides = zip(sequences[: len(examples)], sequences[len(examples) :], strict=True)
        return [PairScores(chosen, rejected) for chosen, rejected in sides]

    def _columns(
        self, model: nn.Module, base: Any, inputs: dict[str, Any], masked: Tensor, predicts: Tensor, labels: Tensor
    ) -> TokenColumns:
        """Return the numbers of every response token of a batch, one sequence after the other."""
        if not has_fused_head(self._trainer):
            logits = model(**inputs).logits[:, -inputs["input_ids"].shape[1] :][:, :-1]
            return reduce_logits(logits[predicts].float(), labels[predicts])
        captured: list[TokenColumns] = []

        def read_states(trunk: nn.Module, arguments: object, output: Any) -> None:
            # Inside the forward: only there are the weights of a sharded model whole.
            states = last_hidden_state(output, inputs["input_ids"])[:, -inputs["input_ids"].shape[1] :][:, :-1]
            with _whole_head(base) as head:
                captured.append(head.token_columns(output, states[predicts], labels[predicts]))

        handle = base.base_model.register_forward_hook(read_states)
        try:
            output: Any = model(**inputs, labels=masked, fused_lm_head=True)
        finally:
            handle.remove()
        log_probs = output.log_probs[:, -predicts.shape[1] :][predicts].float()
        (columns,) = captured
        # The two sums differ in the last digit; the likeliest token is never less likely than the label.
        return columns._replace(
            logp=log_probs, argmax_logp=torch.maximum(columns.argmax_logp.to(log_probs.device), log_probs)
        )


def has_fused_head(trainer: Any) -> bool:
    """Return whether the DPOTrainer that ``trainer`` is or extends returns log-probs from its forward (TRL 1.15)."""
    parents = [parent for parent in type(trainer).__mro__ if parent.__name__ == "DPOTrainer"]
    return any(hasattr(sys.modules.get(parent.__module__), "add_fused_lm_head") for parent in parents)


def flat_scores(sequences: Sequence[SequenceScores]) -> TokenScores:
    """Return the scores of several responses as the answer to as many requests."""
    lengths = [len(scores["logp"]) for scores in sequences]
    flat = {name: np.concatenate([scores[name] for scores in sequences]) for name in TokenColumns._fields}
    return TokenScores(offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), **flat)


def _rounded_up(count: int, divisor: int) -> int:
    return -(-count // divisor) * divisor


def _by_sequence(columns: TokenColumns, lengths: Sequence[int]) -> list[SequenceScores]:
    """Return the columns of each of several responses, which follow each other with these ``lengths``."""
    ends = np.cumsum(lengths)[:-1]
    split = {name: np.split(column.cpu().numpy(), ends) for name, column in columns._asdict().items()}
    return [{name: split[name][number] for name in split} for number in range(len(lengths))]


@contextmanager
def _whole_head(base: Any) -> Iterator[TrainerHead]:
    """Yield the head of a language model in the type in which its forward multiplies, with its whole weight."""
    layer = base.get_output_embeddings()
    weight, bias = layer.weight, layer.bias
    with ExitStack() as stack:
        if hasattr(weight, "ds_id"):  # a shard of DeepSpeed's ZeRO 3
            gathered = _deepspeed_gather()([value for value in (weight, bias) if value is not None])
            stack.enter_context(gathered)
        elif hasattr(weight, "full_tensor"):  # a shard of FSDP 2
            weight, bias = weight.full_tensor(), None if bias is None else bias.full_tensor()
        device = weight.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
        bias = None if bias is None else bias.detach().to(dtype)
        yield TrainerHead(weight.detach().to(dtype), bias, base.config.get_text_config())


def _deepspeed_gather() -> Callable[..., Any]:
    return importlib.import_module("deepspeed").zero.GatheredParameters
