"""Stages of dvc.yaml at once, each as soon as the stages that it depends on have ended. `dvc repro` runs one at a time.

Every stage is run by DVC: several `dvc repro --single-item` are at work in one project, which DVC allows. They take turns where
one reads or writes dvc.lock, and hold the files of their own stage. So the outputs, and the entries of dvc.lock, are those of
`dvc repro`: its code decides what has changed, and no bytes depend on the number of cores.

A worker is a process that keeps DVC loaded, which takes a second, and runs one stage after the other. Where stages run on other
machines (pipeline.runtime.cluster_stages), DVC still works here: it takes the locks, hashes, and writes dvc.lock.
"""

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path
from shutil import which
from typing import Literal

from pipeline.runtime.errors import PipelineError
from pipeline.runtime.processes import num_cores

Stages = Mapping[
    str, frozenset[str]
]  # of each stage, by DVC's name such as train@overfit: the stages that it depends on

_GPUS = "CUDA_VISIBLE_DEVICES"
_SHELL = "SHELL"  # by which DVC runs the command of a stage, as `$SHELL -c command` (dvc/stage/run.py)
_WORKER = "pipeline.runtime.stage_worker"
_ENDED = 1  # exit status of a stage whose worker ended before its answer
# DVC says after each of its runs what is of use once; `dvc status` and `git status` say it at any time.
_HINTS = (
    "To track the changes",
    "To enable auto staging",
    "\tgit add ",
    "\tdvc config ",
    "Use `dvc push`",
    "Data and pipelines",
)
ANSWER = "\0"  # before the exit status, on a line that a worker writes


@dataclass
class Outcome:
    """How a run ended. failed: stages whose DVC ended with another status than 0. left: stages that were not begun then."""

    failed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def load_stages(targets: Iterable[str] = ()) -> dict[str, frozenset[str]]:
    """The stages of the project in the current folder, and what they depend on; in DVC's order. Imports DVC.

    targets: stages, or stages of a matrix (`train` is all of train@…); only these and what they depend on. Raises
    dvc.exceptions.DvcException for one that is not there.
    """
    from dvc.repo import Repo
    from dvc.repo.reproduce import get_active_graph, plan_repro

    with Repo() as repo:
        graph = get_active_graph(repo.index.graph)
        wanted = [stage for target in targets for stage in repo.stage.collect(target)] or list(graph)
        planned = plan_repro(graph, wanted)  # as `dvc repro` would run them
        return {stage.addressing: frozenset(dep.addressing for dep in graph.successors(stage)) for stage in planned}


@dataclass(frozen=True)
class Elsewhere:
    """Stages whose commands run on other machines. verbs: theirs, as train of train@overfit. shell: DVC runs their commands by
    it, in place of the user's. room: so many at a time, if nobody asks for another number. here: so many of all others."""

    verbs: tuple[str, ...]
    shell: Path
    room: int
    here: int

    def has(self, stage: str) -> bool:
        """Whether a stage is one of them."""
        return stage.partition("@")[0] in self.verbs


def run_stages(stages: Stages, num_workers: int, elsewhere: Elsewhere | None = None) -> Outcome:
    """Runs them all, num_workers at a time. Where one fails, those that run are awaited, and no other begins.

    What a stage says has its name before each line. A stage that runs alone here may use all cores, others their worker's share
    of them; with GPUs, each worker sees one.
    """
    order, outcome, workers = TopologicalSorter(stages), Outcome(), _Workers(num_workers, elsewhere)
    order.prepare()
    ready, done = list[str](), set[str]()
    try:
        while order.is_active():
            ready += order.get_ready()
            alone = sum(not workers.send(stage) for stage in (*ready, *workers.running)) == 1
            for stage in [] if outcome.failed else list(ready):
                if workers.begin(stage, alone=alone):
                    ready.remove(stage)
            if not workers.running:
                break
            for stage, status in workers.wait():
                if status == 0:
                    done.add(stage)
                    order.done(stage)
                else:
                    outcome.failed.append(stage)
    finally:
        workers.end()
    outcome.left = [stage for stage in stages if stage not in done and stage not in outcome.failed]
    return outcome


class _Workers:
    """Those of stages that run here, each with its share of the cores, and those of stages that run elsewhere."""

    def __init__(self, num_workers: int, elsewhere: Elsewhere | None) -> None:
        self._most, self._elsewhere, self._pool = num_workers, elsewhere, ThreadPoolExecutor(num_workers)
        here = num_workers if elsewhere is None else min(elsewhere.here, num_workers)
        gpus = [share_gpus(number) for number in range(here)]
        own = [_Worker({} if gpu is None else {_GPUS: gpu}, share_cores(n, here)) for n, gpu in enumerate(gpus)]
        others = [_Worker({_SHELL: str(elsewhere.shell)}) for _ in range(num_workers)] if elsewhere else []
        self._all, self._idle = [*own, *others], {False: own[::-1], True: others}
        self._running = dict[Future[int], tuple[str, _Worker]]()

    @property
    def running(self) -> list[str]:
        """Stages that have begun."""
        return [stage for stage, _ in self._running.values()]

    def send(self, stage: str) -> bool:
        """Whether they have it run elsewhere."""
        return self._elsewhere is not None and self._elsewhere.has(stage)

    def begin(self, stage: str, *, alone: bool) -> bool:
        """Runs a stage, if one of its workers is idle; the last one that was, as it has loaded DVC. Returns whether."""
        idle = self._idle[self.send(stage)]
        if not idle or len(self._running) == self._most:
            return False
        worker = idle.pop()
        self._running[self._pool.submit(worker.run, stage, alone=alone)] = stage, worker
        return True

    def wait(self) -> Iterator[tuple[str, int]]:
        """Stages that have ended, at least one, and their exit statuses."""
        for future in wait(self._running, return_when=FIRST_COMPLETED).done:
            stage, worker = self._running.pop(future)
            self._idle[self.send(stage)].append(worker)
            yield stage, future.result()

    def end(self) -> None:
        """Awaits what runs."""
        self._pool.shutdown()
        for worker in self._all:
            worker.end()


class _Worker:
    """A process that runs stages, one at a time; started with the first one."""

    def __init__(self, variables: dict[str, str], cores: Iterable[int] = ()) -> None:
        """variables: of its environment, besides this process's. cores: for a stage beside others; none: all of them."""
        self._variables, self._cores = variables, ",".join(map(str, cores))
        self._process: subprocess.Popen[str] | None = None

    def run(self, stage: str, *, alone: bool) -> int:
        """The exit status of DVC, after all that DVC and the stage said. alone: nothing else runs: all cores are free."""
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(BrokenPipeError):  # it was killed: below
            process.stdin.write(f"{stage}\t{'' if alone else self._cores}\n")
            process.stdin.flush()
        for line in process.stdout:
            said, end, status = line.rstrip("\n").partition(ANSWER)
            if said and not said.startswith(_HINTS):
                sys.stderr.write(f"{stage}: {said}\n")
                sys.stderr.flush()
            if end:
                return int(status)
        self.end()
        return process.returncode or _ENDED

    def _start(self) -> subprocess.Popen[str]:
        self._process = subprocess.Popen(
            [sys.executable, "-m", _WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | self._variables,
            text=True,
            errors="replace",
        )
        return self._process

    def end(self) -> None:
        """Lets it end, as there is nothing more to do; or it has."""
        if self._process is not None:
            self._process.communicate()
        self._process = None


def share_cores(number: int, num_workers: int) -> list[int]:
    """The cores of one of several workers, from 0; where there are fewer cores than workers, one, which others have too."""
    if not hasattr(os, "sched_getaffinity"):
        return []
    cores = sorted(os.sched_getaffinity(0))
    return cores[number % len(cores) :: num_workers]


def share_gpus(number: int) -> str | None:
    """The GPU of one of several workers, from 0, as CUDA_VISIBLE_DEVICES names it; None where there is none."""
    gpus = list_gpus()
    return gpus[number % len(gpus)] if gpus else None


def list_gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES allows or, without it, what NVIDIA's driver finds."""
    if (allowed := os.environ.get(_GPUS)) is not None:
        return [gpu for gpu in allowed.split(",") if gpu and gpu != "-1"]
    if (command := which("nvidia-smi")) is None:
        return []
    found = subprocess.run([command, "--query-gpu=index", "--format=csv,noheader"], capture_output=True, check=False)
    return found.stdout.decode().split() if found.returncode == 0 else []


def choose_workers(threads: int, devices: int | Literal["all"] = 1, asked: int | None = None) -> int:
    """What is asked for. Else one for each GPU, or one where a training takes several of them; without any, one for so many
    cores as an operation has threads; at least 1. devices: runtime.devices. Raises PipelineError where a training would take
    more GPUs than it would see beside others."""
    gpus = len(list_gpus())
    if asked is None:
        return (gpus if devices == 1 else 1) if gpus else max(1, num_cores() // threads)
    if gpus and asked > 1 and devices not in (1, "all"):
        raise PipelineError(
            f"-j {asked}: each of several stages at a time sees one GPU, but runtime.devices is {devices}: expected -j 1, or "
            "runtime.devices 1"
        )
    return asked
