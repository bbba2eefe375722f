"""Do the weights fit their config, and an adapter its base? Told from the files' headers alone, without torch.

Only what is sure is refused here; names that a loader would translate are left to it.
"""

from collections.abc import Mapping
from pathlib import Path

from dpo_analysis.scoring.models.weight_files import Damaged, Tensor

EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "embed_in.weight", "word_embeddings.weight")
WIDTHS = ("hidden_size", "n_embd", "d_model", "word_embed_proj_dim", "embedding_size")
_LORA = (".lora_A.weight", ".lora_B.weight")
_PREFIX = "base_model.model."


def check_config(folder: Path, config: Mapping, tensors: Mapping[str, Tensor]) -> None:
    """Compare the embedding's width with the config's.

    Raises:
        Damaged: they differ, so this config belongs to other weights.
    """
    widths = {config[key] for key in WIDTHS if isinstance(config.get(key), int)}
    for name, tensor in tensors.items():
        if widths and name.endswith(EMBEDDINGS) and len(tensor.shape) == 2 and tensor.shape[1] not in widths:
            raise Damaged(
                f"config.json in {folder} does not fit its weights: {name} is {tensor.shape[1]} wide, the config says "
                f"{sorted(widths)[-1]}; take both from the same model"
            )


def check_adapter(folder: Path, adapter: Mapping[str, Tensor], base_folder: Path, base: Mapping[str, Tensor]) -> None:
    """Compare a LoRA adapter's layers with those of its base, where both use the same names.

    Raises:
        Damaged: the adapter has layers that the base lacks, or of another size.
    """
    layers = {name: _layer(name) for name in adapter if name.endswith(_LORA)}
    missing = sorted({layer for layer in layers.values() if f"{layer}.weight" not in base})
    if missing and len(missing) < len(set(layers.values())):
        _refuse(folder, base_folder, f"the base has no {missing[0]}")
    for name, layer in layers.items():
        known = base.get(f"{layer}.weight")
        size = adapter[name].shape[-1 if name.endswith(_LORA[0]) else 0]
        if known is not None and size not in known.shape:
            _refuse(folder, base_folder, f"{name} is for {size} where {layer} is {' x '.join(map(str, known.shape))}")


def _layer(name: str) -> str:
    return name.removeprefix(_PREFIX).removesuffix(_LORA[0]).removesuffix(_LORA[1])


def _refuse(folder: Path, base_folder: Path, why: str) -> None:
    raise Damaged(f"adapter {folder} does not fit base {base_folder}: {why}; pass the base it was trained on as --base")
