"""Configs with values that no model has: one line each, nothing loaded from a hub, nothing built without end."""

import json
import shutil
from pathlib import Path

import pytest

from dpo_analysis.errors import DPOAnalysisError

pytest.importorskip("torch")
SAMPLE = Path(__file__).resolve().parent.parent / "sample_data"
BAD = [
    {"num_attention_heads": 0},
    {"num_attention_heads": "8"},
    {"layer_types": ["evil", "evil"]},
    {"hidden_act": "evil"},
    {"rope_parameters": {"rope_type": "evil"}},
    {"rope_parameters": 5},
    {"dtype": "evil"},
    {"model_type": ["llama"]},
    {"vocab_size": -1},
    {"max_position_embeddings": "many"},
    {"num_hidden_layers": 2.5},
    {"num_hidden_layers": 10**9},
    {"num_hidden_layers": 0},
    {"hidden_size": 10**12},
    {"vocab_size": 10**12},
    {"tie_word_embeddings": "x"},
    {"_experts_implementation": "evil/x"},
]


def checkpoint(folder, **changes):
    """A checkpoint of the sample whose config has other values."""
    shutil.copytree(SAMPLE / "strong/checkpoint-30", folder)
    config = json.loads((folder / "config.json").read_text("utf-8")) | changes
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    return folder


def score(policy, out):
    from dpo_analysis.scoring import score

    pairs = json.loads((SAMPLE / "pairs/eval.jsonl").read_text("utf-8").splitlines()[0])
    reference = str(SAMPLE / "sft")
    return score([pairs], policies={"a/30": str(policy)}, reference=reference, out=out, evidence="none", beta=0.1)


@pytest.mark.parametrize("changes", BAD, ids=str)
def test_a_config_that_no_model_has_is_one_line(changes, tmp_path):
    with pytest.raises(DPOAnalysisError) as error:
        score(checkpoint(tmp_path / "bad", **changes), tmp_path / "run")
    assert "\n" not in str(error.value)
    assert str(tmp_path / "bad") in str(error.value)


@pytest.mark.parametrize("key", ["_attn_implementation", "attn_implementation", "_attn_implementation_internal"])
def test_attention_that_a_config_names_is_never_taken_from_a_hub(key, tmp_path, monkeypatch):
    import transformers.modeling_utils as loading

    asked = []
    if hasattr(loading, "load_and_register_attn_kernel"):
        monkeypatch.setattr(loading, "load_and_register_attn_kernel", lambda *args, **kw: asked.append(args))
    run = score(checkpoint(tmp_path / "good", **{key: "somebody/kernel"}), tmp_path / "run")
    assert run.is_complete
    assert asked == []
