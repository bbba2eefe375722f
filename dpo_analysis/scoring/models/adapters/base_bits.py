"""Bases packed into 4 bits as they were in training, where the adapters of a run were trained so (QLoRA)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dpo_analysis.scoring.models.adapters.four_bit import FourBit, four_bit_note, four_bit_of, has_bitsandbytes
from dpo_analysis.scoring.models.preflight import in_four_bits
from dpo_analysis.scoring.models.resolved_model import ResolvedModel


def match_training_bits(
    reference: ResolvedModel, policies: Sequence[ResolvedModel], recorded: Mapping[str, FourBit]
) -> tuple[ResolvedModel, list[ResolvedModel], list[str]]:
    """Return reference and policies with their base in 4 bits where it was so in training, and a note for the log.

    A run has one reference, so it is packed only where every policy is an adapter on it that was trained on 4 bits, and
    bitsandbytes is installed; otherwise all models are returned as they are, with a note that says what to expect.

    Args:
        reference: the reference of the run.
        policies: its policies.
        recorded: how the base of a series was packed in training, by name of the series, from a trainer's folder; the
            adapters' configs are read, too.
    """
    packed = [_recorded(policy, recorded) for policy in policies]
    first = next((four_bit for four_bit in packed if four_bit is not None), None)
    if first is None:
        return reference, list(policies), []
    is_possible = all(four_bit is not None for four_bit in packed) and all(
        _is_base_of(reference, policy) for policy in policies
    )
    if not is_possible or not has_bitsandbytes():
        return reference, list(policies), [four_bit_note(first, scored=False, is_possible=is_possible)]
    changed = [_packed(one, first) for one in (reference, *policies)]
    return changed[0], changed[1:], [four_bit_note(first, scored=True)]


def _recorded(policy: ResolvedModel, recorded: Mapping[str, FourBit]) -> FourBit | None:
    """Return how the base of a policy was packed in training; None for a policy whose base is stored in 4 bits."""
    if policy.files is None or policy.files.base is None or policy.files.full.four_bit is not None:
        return None
    found = recorded.get(policy.model.series)
    return found or four_bit_of({"base_model_name_or_path": _base_name(policy)}, "adapter_config.json")


def _base_name(policy: ResolvedModel) -> object:
    return policy.files.adapter_config.get("base_model_name_or_path") if policy.files else None


def _is_base_of(reference: ResolvedModel, policy: ResolvedModel) -> bool:
    if reference.files is None or policy.files is None or policy.files.base is None:
        return False
    return reference.files.full.folder.resolve() == policy.files.base.folder.resolve()


def _packed(resolved: ResolvedModel, four_bit: FourBit) -> ResolvedModel:
    assert resolved.files is not None
    return replace(resolved, files=in_four_bits(resolved.files, four_bit))
