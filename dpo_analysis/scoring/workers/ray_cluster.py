"""A Ray cluster: joining it, and actors of it that hold models. ray is imported here alone, and only when asked for.

Ray places the actors, starts lost ones again and repeats what they were at.
"""

import contextlib
import importlib
import importlib.util
import logging
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dpo_analysis.errors import InputError
from dpo_analysis.scoring.workers.ranks import RAY_ADDRESS, own_rank
from dpo_analysis.scoring.workers.ray_worker import Worker

if TYPE_CHECKING:
    import torch


RETRIES = 3
"""How often Ray repeats a part whose worker died; a lost worker is started again as often as it takes."""
_PAUSE = 5.0
"""Seconds after which the cluster is looked at again for workers that have joined it."""


def check_workers(address: str | None, shard: tuple[int, int]) -> None:
    """Refuse what cannot be an address, and Ray beside other ways of sharing the parts out.

    Raises:
        InputError: so; or ray is not installed.
    """
    if address is None:
        return
    if not RAY_ADDRESS.fullmatch(address):
        raise InputError(f"bad --ray {address!r}: it is HOST:PORT, local, or nothing for a running cluster")
    if shard != (0, 1) or not own_rank().is_alone:
        raise InputError("--ray beside --shard or several ranks: Ray shares the parts out itself; start one process")
    if importlib.util.find_spec("ray") is None:
        raise InputError("no ray in this environment: --ray needs it; pip install 'dpo-analysis[ray]'")


@contextmanager
def joined(address: str | None, *, device: str, workers: int | None) -> Iterator["Cluster | None"]:
    """The cluster at ``address`` for the length of the block; None where there is no address.

    Raises:
        InputError: there is none, or it has no device of the kind asked for.
    """
    if address is None:
        yield None
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    logging.getLogger("ray").setLevel(logging.ERROR)
    ray = importlib.import_module("ray")
    was_there = ray.is_initialized()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        if not was_there:
            _connect(ray, address, workers)
        # Ray takes SIGTERM for itself; here it means what Ctrl-C means
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)
        yield Cluster(ray, device, workers)
    finally:
        if not was_there:
            ray.shutdown()


def _connect(ray: Any, address: str, workers: int | None) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address != "local":
        try:
            ray.init(address=address, **quiet)
            return
        except (ConnectionError, RuntimeError, ValueError) as error:
            if address != "auto" or not isinstance(error, ConnectionError):
                raise InputError(
                    f"no Ray cluster at {address}: {str(error).splitlines()[0][:120]}; start one with ray start --head"
                ) from None
    cores = max(os.cpu_count() or 1, workers or 1)
    ray.init(address="local", num_cpus=cores, include_dashboard=False, _node_ip_address="127.0.0.1", **quiet)


class Cluster:
    """A Ray cluster that this process is connected to.

    Attributes:
        device: kind of device of its workers: cuda, or cpu where it has no GPUs.
    """

    def __init__(self, ray: Any, device: str, workers: int | None) -> None:
        """See whether it has what is asked for.

        Raises:
            InputError: no GPU, or a kind of device that Ray does not deal out.
        """
        self._ray, self._workers = ray, workers
        n_gpus = int(ray.cluster_resources().get("GPU", 0))
        if device not in ("auto", "cpu", "cuda"):
            raise InputError(f"--device {device} beside --ray: Ray deals out GPUs and cores; use auto, cuda or cpu")
        self.device = ("cuda" if n_gpus else "cpu") if device == "auto" else device
        if self.device == "cuda" and not n_gpus and not workers:
            raise InputError("no GPU in the Ray cluster now: wait for its nodes, or ask for them with --ray-workers N")

    @property
    def place(self) -> "torch.device":
        """Kind of device of a worker."""
        import torch

        return torch.device(self.device)

    def slots(self) -> int:
        """How many workers there may be now."""
        kind = "GPU" if self.device == "cuda" else "CPU"
        return self._workers or max(1, int(self._ray.cluster_resources().get(kind, 0)))

    def hire(self, needed: tuple) -> Any:
        """A new actor, a ``remote.Worker`` of these arguments; it starts when there is room for it."""
        options = {"num_gpus": 1} if self.device == "cuda" else {"num_cpus": 1}
        actor = self._ray.remote(Worker).options(**options, max_restarts=-1, max_task_retries=RETRIES)
        return actor.remote(*needed)

    def first_done(self, waiting: Sequence[Any]) -> list[Any]:
        """Those of ``waiting`` that are done, after a while at most."""
        done, _ = self._ray.wait(list(waiting), num_returns=1, timeout=_PAUSE)
        return done

    def result(self, done: Any) -> Any:
        """What a task returned, or the error that its worker's death is."""
        try:
            return self._ray.get(done)
        except self._ray.exceptions.RayActorError as error:
            return error

    def dismiss(self, actor: Any) -> None:
        """End an actor."""
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.kill(actor)
