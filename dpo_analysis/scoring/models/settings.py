"""How the models of a run are loaded and scored: device, type, numerics and batch size; the same in every worker."""

from collections.abc import Sequence
from dataclasses import dataclass

from dpo_analysis.scoring.models.model_loader import LoadableModel, ModelLoader, Note, OnOpen, ReferenceComparison
from dpo_analysis.scoring.models.requirements import ModelRequirements
from dpo_analysis.scoring.models.resolved_model import ResolvedModel


@dataclass(frozen=True, slots=True)
class ScoringSettings:
    """What a worker must know beside the models and the parts; it is pickled for other processes.

    Attributes:
        device: auto, cpu, cuda or mps; each worker has a device of that kind.
        dtype: float32, bfloat16 or float16, of the weights.
        numerics: ``default``, or ``trainer`` for float32 weights under bfloat16 autocast.
        device_map: how one model is spread over several devices, as for transformers; None: it is not.
        requirements: what the pairs require of every model.
        n_parameters: parameters of the largest model.
        batch_tokens: padded tokens of one forward pass.
    """

    device: str
    dtype: str
    numerics: str
    device_map: str | dict[str, str | int] | None
    requirements: ModelRequirements
    n_parameters: int
    batch_tokens: int

    def loadable(
        self, models: Sequence[ResolvedModel], note: Note, on_open: OnOpen | None = None
    ) -> list[LoadableModel]:
        """Return models that can be opened, in the order of ``models``; those of one base share it.

        Args:
            models: the models.
            note: takes a line for the log.
            on_open: takes every model that was opened; None notes policies with the outputs of the reference.
        """
        loader = ModelLoader(
            device=self.device,
            dtype=self.dtype,
            requirements=self.requirements,
            note=note,
            on_open=on_open or ReferenceComparison(note).compare,
            numerics=self.numerics,
            device_map=self.device_map,
        )
        return [LoadableModel(resolved, loader) for resolved in models]
