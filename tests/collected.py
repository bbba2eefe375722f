"""Tiny models and pairs of token ids, scored with evidence into a run folder; and the same numbers the slow way."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from dpo_analysis.data.pairs import Pair
from dpo_analysis.data.tokenization import Response, TokenizedPair
from dpo_analysis.runs import Model, Run, RunWriter, Series, open_run
from dpo_analysis.schema import SIDES
from dpo_analysis.scoring.evidence.collector import score_with_evidence
from dpo_analysis.scoring.evidence.pair_sample import EvidenceRequest
from dpo_analysis.scoring.models.in_memory import causal_model
from dpo_analysis.scoring.models.model_loader import LoadableModel, ModelLoader
from dpo_analysis.scoring.models.requirements import ModelRequirements
from dpo_analysis.scoring.models.resolved_model import ResolvedModel

VOCABULARY = 40
POLICY = Model("s", "checkpoint-1", 1, "loaded", "policy", "b" * 64)
REFERENCE = Model.reference(source="reference", weights="a" * 64)


def pair(number: int, ids: Sequence[Sequence[int]], split: str = "eval") -> TokenizedPair:
    """A pair of prompt, chosen and rejected ids."""
    prompt, *responses = (np.array(some, dtype=np.int32) for some in ids)
    row = Pair(f"{number:016x}", split, "x", "y", "z", None, {}, {}, "", "")
    sides = {side: Response(prompt, own, False) for side, own in zip(SIDES, responses, strict=True)}
    return TokenizedPair(row, f"g{number:07x}", "ok", "x", "y", "z", sides)


def pairs(count: int, seed: int = 0, splits: Sequence[str] = ("eval",)) -> list[TokenizedPair]:
    """Random pairs with prompts of 1 to 5 and responses of 1 to 9 tokens; in each third the responses start alike."""
    draw = np.random.default_rng(seed)
    found = []
    for number in range(count):
        prompt, chosen, rejected = (draw.integers(0, VOCABULARY, draw.integers(1, most)) for most in (6, 10, 10))
        if number % 3 == 0:
            rejected = np.concatenate([chosen, rejected])
        found.append(pair(number, (prompt, chosen, rejected), splits[number % len(splits)]))
    return found


@dataclass
class Two:
    """A policy and its reference in memory, and the adapter that makes the reference of a shared module."""

    policy: nn.Module
    reference: nn.Module
    adapter: str | None = None

    def sources(self, models: Sequence[Model] = (REFERENCE, POLICY)) -> list[LoadableModel]:
        """What the loop opens: the reference, then the policy under each name."""
        requirements = ModelRequirements(longest_sequence=40, largest_token_id=VOCABULARY - 1)
        loader = ModelLoader(device="cpu", dtype="float32", requirements=requirements)
        reference = ResolvedModel(models[0], {}, 0, module=self.reference, adapter=self.adapter)
        policies = [ResolvedModel(model, {}, 0, module=self.policy) for model in models[1:]]
        return [LoadableModel(resolved, loader) for resolved in (reference, *policies)]


ALL = EvidenceRequest(max_pairs=None)


def open_writer(path, tokenized, models: Sequence[Model] = (REFERENCE, POLICY), **changes) -> RunWriter:
    """A writer for a run of these pairs."""
    facts = {"identity": {"of": "ids"}, "series": [Series("s", beta=0.5)], "part_size": 4, **changes}
    return RunWriter.open(path, tokenized=tokenized, models=models, **facts)


def collect(
    path, tokenized, two: Two, request: EvidenceRequest = ALL, *, report=lambda progress: None, **changes
) -> Run:
    """Score into a run folder with the evidence of ``request``."""
    with open_writer(path, tokenized, **changes) as writer:
        score_with_evidence(writer, two.sources(writer.models), request, batch_tokens=64, report=report)
    return open_run(path)


@torch.no_grad()
def distributions(module: nn.Module, prompt: Sequence[int], ids: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Log-probs (tokens, vocabulary) and final states (tokens, width) of one response, all of it in float64."""
    model = copy.deepcopy(causal_model(module)).double()
    tokens = torch.tensor([[*prompt, *ids]])
    output = model(input_ids=tokens[:, :-1], output_hidden_states=True, use_cache=False)
    here = slice(len(prompt) - 1, None)
    return output.logits[0, here].double().log_softmax(-1).numpy(), output.hidden_states[-1][0, here].numpy()


def llama_run(path, count: int = 7) -> tuple[Run, dict]:
    """A run of two tiny Llama models with evidence of all pairs, and {(row, side): both models' distributions}."""
    sizes = {
        "vocab_size": VOCABULARY, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 64, "initializer_range": 0.3,
    }  # fmt: skip
    modules = []
    for seed in (1, 0):
        torch.manual_seed(seed)
        modules.append(LlamaForCausalLM(LlamaConfig(**sizes)).eval())
    run = collect(path, pairs(count), Two(*modules), part_size=8)
    truth = {
        (line["row"], line["side"]): tuple(
            distributions(module, line["prompt_token_ids"], line["token_ids"]) for module in modules
        )
        for line in run.responses().to_pylist()
    }
    return run, truth
