"""Errors of a model's own code, kept apart from errors of this package.

The engine tries its routes on models of any architecture. One that does not fit a route fails inside the model: in its
forward, in its attention layers, or in methods of its config. Only such calls stand inside ``model_code``. An error
in packing, layout or head code is a bug and stays visible: caught, it would only make every model slow.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from dpo_analysis.scoring.engine.memory import is_out_of_memory


class NotPackable(Exception):
    """The model's attention does something that packed rows do not reproduce; the message says what."""


class ModelFailure(RuntimeError):
    """A call of the model's own code failed; the message holds the type and the text of the error that caused it."""


MODEL_ERRORS = (
    NotPackable,
    TypeError,
    ValueError,
    AttributeError,
    IndexError,
    KeyError,
    RuntimeError,
)
"""What model code raises where an argument, an attention function or a shape is not supported."""


@contextmanager
def model_code() -> Iterator[None]:
    """Run calls of the model's own code, and nothing else.

    Raises:
        ModelFailure: one of ``MODEL_ERRORS`` came out of it. Running out of memory is raised as it is, since another
            route would not help.
    """
    try:
        yield
    except ModelFailure:
        raise
    except MODEL_ERRORS as error:
        if is_out_of_memory(error):
            raise
        raise ModelFailure(f"{type(error).__name__} {error}") from error
