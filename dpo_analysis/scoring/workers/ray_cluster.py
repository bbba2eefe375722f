"""A Ray cluster: connecting to it, and actors on it that hold models. ray is imported here alone, and only if needed.

Ray places the actors, restarts lost actors and repeats the calls that they were running.
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
from typing import TYPE_CHECKING, Any, TypeVar

from dpo_analysis.errors import InputError
from dpo_analysis.scoring.workers.ranks import RAY_ADDRESS, current_rank
from dpo_analysis.scoring.workers.ray_worker import Worker, WorkerSetup
from dpo_analysis.scoring.workers.task_records import Task, TaskResult

if TYPE_CHECKING:
    import torch
    from ray import ObjectRef

Result = TypeVar("Result")
MAX_RETRIES = 3
"""How often Ray repeats a task whose worker died; a lost worker is restarted as often as it takes."""
_WAIT_SECONDS = 5.0
"""Seconds after which the driver looks again for workers that have joined the cluster."""


def check_ray_options(address: str | None, shard: tuple[int, int]) -> None:
    """Refuse an address that is none, and Ray beside another way to divide the parts among workers.

    Args:
        address: HOST:PORT, ``local`` or ``auto``; None where models do not run on Ray.
        shard: this worker's number, and the number of workers.

    Raises:
        InputError: so; or ray is not installed.
    """
    if address is None:
        return
    if not RAY_ADDRESS.fullmatch(address):
        raise InputError(f"bad --ray {address!r}: it is HOST:PORT, local, or nothing for a running cluster")
    if shard != (0, 1) or not current_rank().is_alone:
        raise InputError("--ray beside --shard or several ranks: Ray shares the parts out itself; start one process")
    if importlib.util.find_spec("ray") is None:
        raise InputError("no ray in this environment: --ray needs it; pip install 'dpo-analysis[ray]'")


@contextmanager
def join_ray_cluster(address: str | None, *, device: str, workers: int | None) -> Iterator["Cluster | None"]:
    """Connect to the cluster at ``address`` for the length of the block; None where there is no address.

    Args:
        address: as for ``check_ray_options``.
        device: auto, cuda or cpu.
        workers: how many workers to ask for; None: one per GPU of the cluster, else one per core.

    Raises:
        InputError: there is no cluster, or it has no device of that kind.
    """
    if address is None:
        yield None
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    logging.getLogger("ray").setLevel(logging.ERROR)
    ray = importlib.import_module("ray")
    is_connected = ray.is_initialized()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        if not is_connected:
            _connect(ray, address, workers)
        # Ray takes SIGTERM for itself; in this package it means what Ctrl-C means
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)
        yield Cluster(ray, device, workers)
    finally:
        if not is_connected:
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


class WorkerHandle:
    """A ``Worker`` on the cluster; each method starts a call there and returns a reference to its result."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor

    def location(self) -> "ObjectRef[str]":
        """Call ``Worker.location``."""
        return self.actor.location.remote()

    def run(self, task: Task) -> "ObjectRef[TaskResult]":
        """Call ``Worker.run``."""
        return self.actor.run.remote(task)


class Cluster:
    """A Ray cluster that this process is connected to.

    Attributes:
        device: kind of device of its workers: cuda, or cpu where it has no GPUs.
    """

    def __init__(self, ray: Any, device: str, workers: int | None) -> None:
        """Check that the cluster has what is asked for.

        Args:
            ray: the module, connected.
            device: as for ``join_ray_cluster``.
            workers: the same.

        Raises:
            InputError: no GPU, or a kind of device that Ray does not allocate.
        """
        self._ray, self._workers = ray, workers
        n_gpus = int(ray.cluster_resources().get("GPU", 0))
        if device not in ("auto", "cpu", "cuda"):
            raise InputError(f"--device {device} beside --ray: Ray deals out GPUs and cores; use auto, cuda or cpu")
        self.device = ("cuda" if n_gpus else "cpu") if device == "auto" else device
        if self.device == "cuda" and not n_gpus and not workers:
            raise InputError("no GPU in the Ray cluster now: wait for its nodes, or ask for them with --ray-workers N")

    @property
    def torch_device(self) -> "torch.device":
        """Kind of device of a worker."""
        import torch

        return torch.device(self.device)

    def max_workers(self) -> int:
        """Return how many workers there may be now; clusters grow and shrink."""
        kind = "GPU" if self.device == "cuda" else "CPU"
        return self._workers or max(1, int(self._ray.cluster_resources().get(kind, 0)))

    def start_worker(self, setup: WorkerSetup) -> WorkerHandle:
        """Ask for a new worker; it starts when there is room for it."""
        options = {"num_gpus": 1} if self.device == "cuda" else {"num_cpus": 1}
        actor_class = self._ray.remote(Worker).options(**options, max_restarts=-1, max_task_retries=MAX_RETRIES)
        return WorkerHandle(actor_class.remote(setup))

    def wait_for_any(self, pending: Sequence["ObjectRef[Any]"]) -> "list[ObjectRef[Any]]":
        """Wait until one of ``pending`` is done, a few seconds at most, and return those that are done."""
        done, _ = self._ray.wait(list(pending), num_returns=1, timeout=_WAIT_SECONDS)
        return done

    def result(self, done: "ObjectRef[Result]") -> Result | Exception:
        """Return what a call returned, or Ray's error where its worker died."""
        try:
            return self._ray.get(done)
        except self._ray.exceptions.RayActorError as error:
            return error

    def stop_worker(self, worker: WorkerHandle) -> None:
        """End a worker's process."""
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.kill(worker.actor)
