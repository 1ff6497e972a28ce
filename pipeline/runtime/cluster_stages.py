"""Stages that train or measure models, on the nodes of a Ray cluster: which of them `python -m stages.repro` sends, and how.

DVC works on this machine as ever. It runs the command of a stage as `$SHELL -c command`; for these stages, SHELL is a file that
is written here, which has a node run the command (cluster_shell and cluster_command beside this file). The stages know nothing
of it: they depend on the same, and write the same.
"""

import logging
import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from pipeline.runtime.cluster import open_cluster
from pipeline.runtime.cluster_room import find_room
from pipeline.runtime.side_by_side import Elsewhere, choose_workers

logger = logging.getLogger(__name__)

VERBS = ("train", "evaluate", "crossval")  # not search: it would hold the processors for which its own trials wait
_SHELL = "pipeline.runtime.cluster_shell"
_CACHE, _PREFIX = Path(".cache"), "cluster-"  # what is left there, pipeline.runtime.leftovers removes


@contextmanager
def open_elsewhere(
    cluster: str, address: str | None, threads: int, devices: int | Literal["all"] = 1
) -> Iterator[Elsewhere | None]:
    """For the block, where the stages of VERBS run; None: on this machine, as `cluster` is local, or as there is no address: a
    Ray of its own would gain nothing.

    cluster, address, threads, devices: of runtime in params.yaml. Raises PipelineError, within seconds, where `open_cluster`
    does and where `find_room` does.
    """
    address = address or os.environ.get("RAY_ADDRESS") or None
    if cluster == "local" or address is None:
        if cluster != "local":
            logger.info(
                "%s run on this machine: runtime.cluster is ray, but neither runtime.ray_address nor RAY_ADDRESS says where",
                ", ".join(VERBS),
            )
        yield None
        return
    with _keeping_end(), open_cluster(cluster=cluster, address=address):
        import ray

        needs, room = find_room(ray.nodes(), threads, devices)
    _CACHE.mkdir(exist_ok=True)
    with TemporaryDirectory(prefix=_PREFIX, dir=_CACHE.absolute()) as folder:
        shell = Path(folder) / "shell"
        write_shell(shell, [sys.executable, "-m", _SHELL, folder, address, str(needs)])
        yield Elsewhere(VERBS, shell, room, choose_workers(threads, devices))


@contextmanager
def _keeping_end() -> Iterator[None]:
    """Ray has SIGTERM raise SystemExit, and leaves that so: this process would await all stages before it ends."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def write_shell(file: Path, words: list[str]) -> None:
    """A program that runs these words with its own arguments behind them. By /bin/sh, as a first line may name no path with
    spaces, and not more than 127 bytes of any."""
    file.write_bytes(os.fsencode(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n'))
    file.chmod(0o755)
