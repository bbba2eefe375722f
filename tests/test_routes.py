"""Which errors lead to a slower route: those of a model's own code; errors of this package come out."""

import logging
from pathlib import Path

import numpy as np
import pytest
from peft import PeftModel
from transformers import AutoModelForCausalLM

from dpo_analysis.scoring.engine import engine as engine_module
from dpo_analysis.scoring.engine import lm_heads, routes
from dpo_analysis.scoring.engine.engine import Engine
from dpo_analysis.scoring.engine.model_errors import ModelFailure, NotPackable, model_code
from dpo_analysis.scoring.engine.model_head import ModelHead
from tests.test_engine import REQUESTS, Doubled, llama

SAMPLE = Path(__file__).resolve().parent.parent / "sample_data"
POLICIES = sorted(path.relative_to(SAMPLE).as_posix() for path in SAMPLE.glob("*/checkpoint-*"))


def without_position_ids(model):
    """A trunk that does not take positions, as that of a foreign model may not."""
    forward = model.model.forward

    def refusing(position_ids=None, **inputs):
        if position_ids is not None:
            raise TypeError("forward() got an unexpected keyword argument 'position_ids'")
        return forward(**inputs)

    model.model.forward = refusing
    return model


@pytest.mark.parametrize("name", ["sft", *POLICIES])
def test_the_sample_models_take_the_packed_route(name):
    folder = SAMPLE / name
    is_adapter = (folder / "adapter_config.json").exists()
    model = AutoModelForCausalLM.from_pretrained(SAMPLE / "sft" if is_adapter else folder).eval()
    if is_adapter:
        model = PeftModel.from_pretrained(model, folder).eval().get_base_model()
    engine = Engine(model)
    assert (engine.route_name, engine.fallback_reason) == ("packed", "")


@pytest.mark.parametrize("name", ["group_by_prompt", "make_packs", "lay_out", "use_layout", "to_numpy"])
def test_an_error_in_packing_comes_out_instead_of_a_slow_route(name, monkeypatch):
    def bug(*arguments, **options):
        raise TypeError("a bug")

    monkeypatch.setattr(routes, name, bug)
    with pytest.raises(TypeError, match="a bug"):
        Engine(llama())


@pytest.mark.parametrize("name", ["pad_inputs", "response_positions", "consecutive_rows"])
def test_an_error_in_padding_comes_out_where_rows_cannot_be_packed(name, monkeypatch):
    monkeypatch.setattr(routes, name, lambda *arguments: {}["a bug"])
    with pytest.raises(KeyError, match="a bug"):
        Engine(without_position_ids(llama()))


def test_an_error_in_the_head_comes_out(monkeypatch):
    monkeypatch.setattr(lm_heads, "score_rows", lambda *arguments: arguments[99])
    with pytest.raises(IndexError):
        Engine(llama())
    monkeypatch.setattr(engine_module, "columns_agree", lambda *arguments: arguments.agree)
    with pytest.raises(AttributeError, match="agree"):
        Engine(llama())


def test_a_model_that_refuses_an_argument_takes_the_next_route_and_the_traceback_is_in_the_log(caplog):
    want = Engine(llama()).score(REQUESTS, batch_tokens=100)
    with caplog.at_level(logging.DEBUG, logger="dpo_analysis"):
        engine = Engine(without_position_ids(llama()))
    assert engine.route_name == "sorted"
    assert engine.fallback_reason.startswith("packed: TypeError ")
    assert "position_ids" in engine.fallback_reason
    assert engine.score(REQUESTS, batch_tokens=100).logp == pytest.approx(want.logp, abs=1e-5)
    assert "route packed does not fit this model" in caplog.text
    assert "Traceback" in caplog.text


def test_hidden_states_of_fewer_tokens_than_ids_are_the_models_failure():
    engine = Engine(llama(Doubled))
    assert engine.route_name == "whole"
    model = llama()
    forward = model.model.forward

    def shortened(**inputs):
        output = forward(**inputs)
        output.last_hidden_state = output.last_hidden_state[:, :2]
        return output

    model.model.forward = shortened
    with pytest.raises(ModelFailure, match=r"hidden states of shape \(1, 2, 16\) for ids of shape \(1, 14\)"):
        list(
            routes.PackedRoute(model, model.model, lm_heads.LinearHead(model.lm_head.weight, None)).score(REQUESTS, 99)
        )


def test_a_head_whose_product_torch_does_not_have_is_used_as_the_model_uses_it(monkeypatch):
    want = Engine(llama()).score(REQUESTS, batch_tokens=100)

    def unknown(*arguments):
        raise TypeError("mm() got an unexpected keyword argument 'out_dtype'")

    monkeypatch.setattr(lm_heads, "multiply_into", unknown)
    engine = Engine(llama())
    assert engine.route_name == "packed"
    assert isinstance(engine.head, ModelHead)
    assert np.allclose(engine.score(REQUESTS, batch_tokens=100).logp, want.logp, atol=1e-5)


def test_only_the_outermost_call_names_the_error_and_lack_of_memory_stays_what_it_is():
    with pytest.raises(ModelFailure, match=r"^NotPackable attention in chunks$"), model_code(), model_code():
        raise NotPackable("attention in chunks")
    with pytest.raises(RuntimeError, match=r"^CUDA out of memory$") as caught, model_code():
        raise RuntimeError("CUDA out of memory")
    assert not isinstance(caught.value, ModelFailure)
