"""Parallel work on a Ray cluster: the pure functions that processes of this machine run, on its nodes. Results come in the
order of the tasks, and a bounded number of them waits.

Ray Core's tasks, not Ray Data: its blocks have no order. Tasks are the same as in processes, and so are the bytes. Only this
process writes outputs. Nodes need the project's folder on shared storage at the same path, which brings the code and the data,
and an environment with the same packages; each worker checks all three before its first task. docs/cluster.md
"""

import logging
import os
import pickle
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from pipeline.runtime.cluster_connection import QUIET, TRIES, connect, import_ray
from pipeline.runtime.cluster_room import find_room
from pipeline.runtime.cluster_task import Ground, describe_ground
from pipeline.runtime.errors import PipelineError

logger = logging.getLogger(__name__)

Task = TypeVar("Task")
Result = TypeVar("Result")
Singles = Callable[[Task], list[tuple[str, Task]]]

AHEAD = 4  # as in processes: no worker idles, and few results wait
_REMEDY = "crashed by a picture; give nodes more memory, or leave the picture out, in stages by prune.exclude"
_COUNT_EVERY = 5.0  # seconds after which the cluster's processors are counted anew: nodes come and go


class Cluster:
    """A connection to Ray: a `Runner` of pipeline.runtime.processes.

    threads: processors that each task is given. on_gpu: it is given a GPU, too, where a node has one. first: what a worker
    calls once, before it imports what the tasks need. ahead: so many tasks are begun or wait for each that can run at once.
    remedy: what else a task that is lost may have died of, and what to do.
    """

    def __init__(
        self,
        ray: Any,
        ground: Ground,
        *,
        threads: int = 1,
        on_gpu: bool = False,
        first: Callable[[], None] | None = None,
        ahead: int = AHEAD,
        remedy: str = _REMEDY,
    ) -> None:
        self._ray, self._ground, self._threads, self._on_gpu, self._first = ray, ground, threads, on_gpu, first
        self._ahead, self._remedy = ahead, remedy
        self._room, self._counted = 0, 0.0

    def with_needs(
        self,
        *,
        threads: int,
        on_gpu: bool,
        first: Callable[[], None],
        ahead: int = AHEAD,
        remedy: str = _REMEDY,
    ) -> "Cluster":
        """The same cluster, for tasks with such needs."""
        needs: dict[str, Any] = {"threads": threads, "on_gpu": on_gpu, "first": first}
        return Cluster(self._ray, self._ground, **needs, ahead=ahead, remedy=remedy)

    def map_in_order(
        self,
        function: Callable[[Task], Result],
        tasks: Iterable[Task],
        num_workers: int | None = None,
        singles: Singles[Task] | None = None,
    ) -> Iterator[Result]:
        """As pipeline.runtime.processes.map_in_order. num_workers: None: as many as the nodes have room for.

        A task whose worker or node is lost runs again, three times in all. Then PipelineError names what it was about: singles
        cuts a task into smaller ones, with their names, each of which is tried alone.
        """
        waiting: deque[tuple[Task, Any]] = deque()
        remote = self._make_remote()
        try:
            for task in tasks:
                waiting.append((task, self._submit(remote, function, task)))
                while len(waiting) >= (num_workers or self._count_room()) * self._ahead:
                    yield self._take(remote, function, *waiting.popleft(), singles)
            while waiting:
                yield self._take(remote, function, *waiting.popleft(), singles)
        finally:
            for _, ref in waiting:
                with suppress(Exception):  # the cluster may be gone
                    self._ray.cancel(ref)

    def _make_remote(self) -> Any:
        gpus = 1 if self._on_gpu and self._ray.cluster_resources().get("GPU", 0) else 0
        # What no node has, a task would wait for without end.
        cpus, _ = find_room(self._ray.nodes(), self._threads, on_gpu=self._on_gpu)
        options = {"num_cpus": cpus, "num_gpus": gpus, "max_retries": TRIES - 1}
        return self._ray.remote(**options)(_define_entry())

    def _submit(self, remote: Any, function: Any, task: Any) -> Any:
        place = self._ground.folder, self._ground.code
        rest = pickle.dumps((function, task), pickle.HIGHEST_PROTOCOL)
        return remote.remote(*place, pickle.dumps((self._ground, self._first, rest), pickle.HIGHEST_PROTOCOL))

    def _count_room(self) -> int:
        if time.monotonic() - self._counted > _COUNT_EVERY:
            _, self._room = find_room(self._ray.nodes(), self._threads, on_gpu=self._on_gpu)
            self._counted = time.monotonic()
        return self._room

    def _take(self, remote: Any, function: Any, task: Any, ref: Any, singles: Singles[Any] | None) -> Any:
        try:
            return self._get(ref)
        except _list_losses(self._ray) as error:
            parts = singles(task) if singles else []
            for name, part in parts if len(parts) > 1 else []:
                try:
                    self._get(self._submit(remote, function, part))
                except _list_losses(self._ray) as again:
                    raise PipelineError(_describe_loss(repr(name), again, self._remedy)) from again
            names = " to ".join(repr(name) for name in dict.fromkeys(name for name, _ in (parts[:1] + parts[-1:])))
            what = f"{len(parts)} tasks, {names}" if len(parts) > 1 else names or "a task"
            raise PipelineError(_describe_loss(what, error, self._remedy)) from error

    def _get(self, ref: Any) -> Any:
        """What a task returned; raises what it raised, as if it had run here."""
        errors = self._ray.exceptions
        try:
            node, missing, result = self._ray.get(ref)
        except errors.RayTaskError as error:
            raise error.cause if isinstance(error.cause, Exception) else error from None
        except errors.RuntimeEnvSetupError as error:
            raise PipelineError(f"the Ray cluster can't start workers: {error}") from error
        if missing:
            raise PipelineError(
                f"{node} of the Ray cluster does not have {missing}: expected the project's folder on storage that all nodes "
                "share, at the same path (docs/cluster.md)"
            )
        return result


@contextmanager
def open_cluster(*, cluster: str, address: str | None) -> Iterator[Cluster | None]:
    """A connection for the block, and None where `cluster` is local. Afterwards nothing of it runs.

    address: host:port of a cluster's head, or auto, the one that this machine is a node of; None: what the variable RAY_ADDRESS
    says, or else a Ray of its own on this machine, which ends with the block. Raises PipelineError, within seconds, where there
    is none, where its versions are others, and without the extra `ray`.
    """
    if cluster == "local":
        yield None
        return
    address = address or os.environ.get("RAY_ADDRESS") or None
    os.environ |= QUIET
    ray = import_ray()
    token = Path(f".cache/cluster-{os.getpid()}-{time.time_ns()}")
    own = None if address else Path(tempfile.mkdtemp(prefix="ray-"))
    try:
        connect(ray, address, own)
        token.parent.mkdir(exist_ok=True)
        token.touch()
        logger.info("on Ray: %s", _describe_nodes(ray))
        yield Cluster(ray, describe_ground(token))
    finally:
        ray.shutdown()
        token.unlink(missing_ok=True)
        if own is not None:
            shutil.rmtree(own, ignore_errors=True)


def _describe_nodes(ray: Any) -> str:
    alive = [node for node in ray.nodes() if node["Alive"]]
    resources = ray.cluster_resources()
    gpus = f", {resources['GPU']:g} GPU(s)" if resources.get("GPU") else ""
    return f"{len(alive)} node(s), {resources.get('CPU', 0):g} processor(s){gpus}"


def _list_losses(ray: Any) -> tuple[type[Exception], ...]:
    """What Ray says where a worker, its node or its result is gone, after all tries."""
    errors = ray.exceptions
    return errors.WorkerCrashedError, errors.OutOfMemoryError, errors.NodeDiedError, errors.ObjectLostError


def _describe_loss(what: str, error: BaseException, remedy: str) -> str:
    return (
        f"{what}: its worker on the Ray cluster was lost {TRIES} times ({type(error).__name__}): killed, probably out of "
        f"memory, or {remedy}"
    )


def _define_entry() -> Callable[[str, str, bytes], tuple[str, str, Any]]:
    """What a worker calls. A function within a function reaches it as its code, so that it runs there before this package can
    be imported."""

    def enter(folder: str, code: str, work: bytes) -> tuple[str, str, Any]:
        """(Name of the node, the folder that it lacks or nothing, the result.)"""
        import os
        import socket
        import sys

        for path in (folder, code):
            if not os.path.isdir(path):  # noqa: PTH112 - no more imports than needed
                return socket.gethostname(), path, None
        if code not in sys.path[:1]:
            sys.path.insert(0, code)
        os.chdir(folder)
        from pipeline.runtime.cluster_task import run_task

        return socket.gethostname(), "", run_task(work)

    return enter
