"""How models are opened and run: device, type, numerics and what the pairs ask; the same in every worker."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dpo_analysis.scoring.loop import ModelSource
from dpo_analysis.scoring.models.loading import pick_device
from dpo_analysis.scoring.models.model_loader import Needs, Shelf, Watch
from dpo_analysis.scoring.models.model_set import Entry


@dataclass(frozen=True, slots=True)
class Means:
    """What a worker must know beside the models and the parts; it travels to other processes.

    Attributes:
        device: auto, cpu, cuda or mps; each worker has its own of that kind.
        dtype: float32, bfloat16 or float16, of the weights.
        numerics: ``default``, or ``trainer`` for float32 weights under bfloat16 autocast.
        device_map: how one model is spread over several devices, as for transformers; None: it is not.
        needs: what the pairs ask of every model.
        n_parameters: of the largest model.
        batch_tokens: of one forward pass.
    """

    device: str
    dtype: str
    numerics: str
    device_map: str | dict[str, str | int] | None
    needs: Needs
    n_parameters: int
    batch_tokens: int

    def sources(self, entries: Sequence[Entry], note: Callable[[str], None], watch: Any = None) -> list[ModelSource]:
        """What the loop over parts opens, in the order of ``entries``; models of one base share it.

        Args:
            entries: the models.
            note: told in one line what the log should know.
            watch: sees every opened model; None: notes a policy that is the reference in disguise.
        """
        shelf = Shelf(
            device=pick_device(self.device),
            dtype=self.dtype,
            needs=self.needs,
            note=note,
            numerics=self.numerics,
            device_map=self.device_map,
        )
        seen_by = watch or Watch(note)
        return [entry.source(shelf, self.needs, seen_by) for entry in entries]
