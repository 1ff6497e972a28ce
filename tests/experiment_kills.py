"""Experiments beside the workspace, `dvc exp run --temp` and DVC's queue, that are killed while a stage runs."""

import random
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.clone import run
from tests.kills import Victim, join_words, list_inside

_SETTINGS = ("-S", "families=[linear_svm]", "-S", "recipes.linear_svm.max_iterations=40")
_WORKSPACES = ".dvc/tmp/exps"
_ALL = ""  # in every command line
ENDS_OF_WORKERS = (
    (signal.SIGKILL, "queue-worker"),
    (signal.SIGTERM, "queue-worker"),
    (signal.SIGKILL, _ALL),
    (signal.SIGKILL, "queue-worker"),
)
ENDS_OF_TEMPORARY = (
    (signal.SIGKILL, "--temp"),
    (signal.SIGTERM, "--temp"),
    (signal.SIGINT, _ALL),  # as Ctrl-C
    (signal.SIGKILL, _ALL),
)
_STAGES = ("check", "train", "evaluate", "report")  # which all run, as settings differ from the project's
_LATEST = 1.5  # seconds: a stage takes longer
_PATIENCE = 600.0  # seconds in which an experiment ends, with its worker, which waits for more
_POLL = 0.05


@dataclass(frozen=True)
class ExperimentKill:
    """target: what the command lines of the processes that are killed have in them. moment: seconds after the stage began."""

    signal: signal.Signals
    target: str
    stage: str
    moment: float

    def __str__(self) -> str:
        return f"{self.signal.name} to {self.target or 'all'} {self.moment:.1f} s after {self.stage} began"


def draw_experiment_kills(
    generator: random.Random, ends: tuple[tuple[signal.Signals, str], ...]
) -> list[ExperimentKill]:
    """One for each of the ends, at a random moment of each stage in turn."""
    stages = generator.sample(_STAGES, len(ends))
    return [
        ExperimentKill(number, target, stage, generator.random() * _LATEST)
        for (number, target), stage in zip(ends, stages, strict=True)
    ]


class Experiments:
    """Of a victim. All have the same settings, so that all end in the same files."""

    def __init__(self, victim: Victim) -> None:
        """Runs one undisturbed."""
        self._victim, self._log = victim, victim.folder.parent / "experiment.log"
        assert self.start_temporary("undisturbed").wait(_PATIENCE) == 0, self._log.read_text()
        self._tree = self.find_tree("undisturbed")

    def start_temporary(self, name: str) -> subprocess.Popen[bytes]:
        """`dvc exp run --temp`. Its stages run, as the first time."""
        self._victim.forget_runs()
        return self._victim.start("exp", "run", "--temp", "--name", name, *_SETTINGS, log=self._log)

    def queue(self, name: str) -> None:
        """`dvc exp run --queue`, and a worker."""
        self._victim.forget_runs()
        queue = ["dvc", "exp", "run", "--queue", "--name", name, *_SETTINGS]
        run(queue, self._victim.folder, **self._victim.environment)
        self.start_worker()

    def start_worker(self) -> None:
        """`dvc queue start`. The worker, which outlives it, would keep a pipe open."""
        log = self._log.with_name("worker.log")
        assert self._victim.start("queue", "start", log=log).wait(_PATIENCE) == 0, log.read_text()

    def strike(self, kill: ExperimentKill) -> bool:
        """Kills while an experiment runs, and waits until nothing does; False if all had ended before."""
        end, struck = time.monotonic() + _PATIENCE, False
        while not any(f"stages.{kill.stage}" in join_words(process) for process in self._list_beside()):
            assert time.monotonic() < end, self._log.read_text()
            time.sleep(_POLL)
        time.sleep(kill.moment)
        for process in list(self._list_all()):
            if kill.target in join_words(process):
                try:
                    process.send_signal(kill.signal)
                    struck = True
                except psutil.NoSuchProcess:
                    continue
        self.wait()
        return struck

    def wait(self) -> None:
        """Until nothing runs: an experiment, or a worker that waits for more."""
        end = time.monotonic() + _PATIENCE
        while any(list_inside(self._victim.folder)):
            assert time.monotonic() < end, "it still runs"

    def _list_all(self) -> Iterator[psutil.Process]:
        for process in psutil.process_iter(["cwd"]):
            if Path(process.info["cwd"] or "/").is_relative_to(self._victim.folder):
                yield process

    def _list_beside(self) -> Iterator[psutil.Process]:
        """What runs in the workspaces of experiments."""
        for process in self._list_all():
            if Path(process.info["cwd"]).is_relative_to(self._victim.folder / _WORKSPACES):
                yield process

    def find_left_over(self) -> str | None:
        """Workspaces that are still there."""
        folder = self._victim.folder / _WORKSPACES
        left = sorted(str(path) for place in (folder, folder / "standalone") for path in place.glob("tmp*"))
        return f"left over: {left}" if left else None

    def find_tree(self, name: str) -> str | None:
        """The digest of all files of an experiment as git keeps it; None if there is no such experiment."""
        lines = run(["git", "for-each-ref", "--format=%(refname) %(tree)", "refs/exps"], self._victim.folder)
        trees = dict(line.split() for line in lines.splitlines() if len(line.split()) == 2)
        return next((tree for reference, tree in trees.items() if reference.endswith(f"/{name}")), None)

    def find_difference(self, name: str) -> str | None:
        """From the undisturbed one."""
        tree = self.find_tree(name)
        if tree is None:
            return f"{name} was not finished: {self._log.read_text()[-600:]}"
        return run(["git", "diff", "--stat", str(self._tree), tree], self._victim.folder) or None
