"""The pairs that are scored again and again during a training: the first rows of the trainer's own data sets."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from dpo_analysis.data.pairs import Pair, load_pairs
from dpo_analysis.data.presets.encoding import CutSide, encoded_pair
from dpo_analysis.data.tokenization import SpecialTokenIds, TokenizedPair, tokenized_pair
from dpo_analysis.errors import InputError
from dpo_analysis.schema import CHOSEN, REJECTED, SIDES

ID_COLUMNS = ("prompt_ids", "chosen_ids", "rejected_ids")
"""Columns that DPOTrainer adds to its data sets when it tokenises them, since TRL 0.29."""
REFERENCE_COLUMNS = ("ref_chosen_logps", "ref_rejected_logps")


@dataclass(frozen=True, slots=True)
class FixedPair:
    """A pair that is scored during the training.

    Attributes:
        example: its row of the trainer's data set, with ``ID_COLUMNS`` as lists, as the trainer's collator takes it.
        tokenized: the same pair as a run folder stores it, with the token ids that the trainer scores.
    """

    example: dict[str, Any]
    tokenized: TokenizedPair


def fixed_pairs(trainer: Any, num_pairs: int) -> list[FixedPair]:
    """Return the first ``num_pairs`` rows of each evaluation set; of the training set where there is none.

    Args:
        trainer: TRL's DPOTrainer.
        num_pairs: rows of each set; a set with fewer rows gives all.

    Raises:
        InputError: a set has no rows, or lacks the token ids that DPOTrainer adds.
    """
    fixed = []
    for split, dataset in _datasets(trainer).items():
        rows = [dict(row) for row in islice(iter(dataset), num_pairs)]
        if not rows:
            raise InputError(f"no rows in the trainer's {split} data set: there is nothing to score; give it pairs")
        missing = [name for name in ID_COLUMNS if name not in rows[0]]
        if missing:
            raise InputError(
                f"no column {missing[0]!r} in the trainer's {split} data set: this callback reads the token ids of "
                "DPOTrainer since TRL 0.29 for texts; for other trainers run dpo-analysis score --watch OUTPUT_DIR"
            )
        pairs = _pairs_of_rows(rows, split, _tokenizer(trainer))
        fixed += [
            FixedPair(_example(row), _tokenized(trainer, row, pair)) for row, pair in zip(rows, pairs, strict=True)
        ]
    return fixed


def _datasets(trainer: Any) -> dict[str, Iterable[Any]]:
    """Return the data sets to take pairs from, under the names that the trainer's log gives them."""
    if trainer.eval_dataset is None:
        return {"train": trainer.train_dataset}
    if isinstance(trainer.eval_dataset, Mapping):
        return {f"eval_{name}": dataset for name, dataset in trainer.eval_dataset.items()}
    return {"eval": trainer.eval_dataset}


def _tokenizer(trainer: Any) -> Any:
    return getattr(trainer.processing_class, "tokenizer", trainer.processing_class)


def _example(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: list(row[name]) for name in ID_COLUMNS}


def _pairs_of_rows(rows: Sequence[Mapping[str, Any]], split: str, tokenizer: Any) -> list[Pair]:
    """Return a pair for each row: of its texts where it has them, else of its decoded token ids."""
    texts = [_source_row(row, str(tokenizer.eos_token or "")) for row in rows]
    try:
        pairs = load_pairs(texts, split=split)
    except InputError:
        pairs = []
    if len(pairs) == len(rows):
        return pairs
    return load_pairs([_decoded_row(row, tokenizer) for row in rows], split=split)


def _source_row(row: Mapping[str, Any], eos: str) -> dict[str, Any]:
    """Return the row without the trainer's columns, and without the end-of-text that it appended to plain texts."""
    columns = {name: value for name, value in row.items() if name not in (*ID_COLUMNS, *REFERENCE_COLUMNS)}
    for side in SIDES:
        text = columns.get(side)
        if isinstance(text, str) and eos:
            columns[side] = text.removesuffix(eos)
    return {name: value for name, value in columns.items() if value is not None}


def _decoded_row(row: Mapping[str, Any], tokenizer: Any) -> dict[str, str]:
    names = ("prompt", *SIDES)
    return {name: _text(row[ids], tokenizer) for name, ids in zip(names, ID_COLUMNS, strict=True)}


def _text(ids: Sequence[int], tokenizer: Any) -> str:
    return str(tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))


def _tokenized(trainer: Any, row: Mapping[str, Any], pair: Pair) -> TokenizedPair:
    """Return the pair with the ids that are left when the trainer's collator has cut it to ``max_length``."""
    tokenizer = _tokenizer(trainer)
    ids, is_token, is_response = (table.numpy() for table in cut_batch(trainer, trainer.data_collator([_example(row)])))
    sides = []
    for number, side in enumerate(SIDES):
        kept = is_token[number].astype(bool)
        response = is_response[number][kept].astype(bool)
        whole = ids[number][kept].astype(np.int32)
        cut = len(whole) < len(row["prompt_ids"]) + len(row[f"{side}_ids"])
        sides.append(CutSide(whole[~response], whole[response], cut))
    texts = _decoded_row(row, tokenizer)
    prompt_ids = np.array(row["prompt_ids"], dtype=np.int32)
    encoded = encoded_pair((texts["prompt"], texts[CHOSEN], texts[REJECTED]), prompt_ids, sides)
    return tokenized_pair(pair, encoded, SpecialTokenIds(tokenizer.bos_token_id, tokenizer.eos_token_id))


def cut_batch(trainer: Any, batch: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """Return ids, mask and response mask of a batch, each (sequences, tokens), cut to the trainer's ``max_length``.

    The collator has cut it already, but for TRL 0.29, whose loss cuts.
    """
    columns = (batch["input_ids"], batch["attention_mask"], batch["completion_mask"])
    cut = getattr(trainer, "_truncate_inputs", None)
    return columns if cut is None else cut(*columns)
