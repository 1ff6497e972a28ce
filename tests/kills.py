"""Runs that are killed at a random moment, and what the next `dvc repro` makes of them. Of experiments: experiment_kills.py."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from pipeline.runtime.files import read_key
from tests.clone import commit, list_stages_run, make_clone, run, set_small

_SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
_TARGETS = ("stage", "dvc", "group", "worker", "group")
_POLL = 0.01  # seconds
_PATIENCE = 60.0
_USUAL = 5.0  # seconds that a stage takes, with the start of DVC, where it was not measured


@dataclass(frozen=True)
class Kill:
    """stage: of `dvc repro --force --single-item`. target: stage, dvc, worker (of a stage), or group, as Ctrl-C and a closed
    terminal reach all of them. moment: share of what the command takes undisturbed. afterwards: not then, but when the stage's
    process has ended and DVC takes what it wrote into its cache; moment is then seconds."""

    stage: str
    signal: signal.Signals
    target: str
    moment: float
    afterwards: bool

    def __str__(self) -> str:
        when = f"{self.moment:.2f} s after its end" if self.afterwards else f"at {self.moment:.0%}"
        return f"{self.signal.name} to {self.target} of {self.stage} {when}"


def draw_kill(generator: random.Random, stages: list[str]) -> Kill:
    """A random one."""
    afterwards = generator.random() < 0.25
    return Kill(
        stage=generator.choice(stages),
        signal=generator.choice(_SIGNALS),
        target=generator.choice(("dvc", "group")) if afterwards else generator.choice(_TARGETS),
        moment=generator.random() * 0.4 if afterwards else generator.random(),
        afterwards=afterwards,
    )


class Victim:
    """A finished small project that is killed again and again, and each time comes back to the same bytes."""

    def __init__(self, folder: Path, finished: Callable[[Path], Path] | None = None) -> None:
        """finished: copies a project whose results are committed; without it, two families that train in a moment run here."""
        self.folder, self.seconds = folder, dict[str, float]()
        if finished is None:
            make_clone(folder)
            set_small(folder)
            params = folder / "params.yaml"
            params.write_text(params.read_text().replace("- efficientnet_lite0\n", "", 1))
            self.seconds = self._run_first()
            commit(folder, "results")
        else:
            finished(folder)
            self.run()
        self.lock = (folder / "dvc.lock").read_bytes()
        assert self.find_difference() is None

    def _run_first(self) -> dict[str, float]:
        """What each stage takes, with the start of DVC, as the machine is now."""
        log = self.folder.parent / "first.log"
        begun = time.monotonic()
        started, starts = self.start("repro", log=log), {}
        while started.poll() is None:
            for name in list_stages_run(log.read_text(errors="replace")):
                starts.setdefault(name, time.monotonic() - begun)
            time.sleep(_POLL)
        assert started.returncode == 0, log.read_text(errors="replace")[-2000:]
        ends = [*starts.values(), time.monotonic() - begun][1:]
        startup = next(iter(starts.values()))
        return {name: startup + end - start for (name, start), end in zip(starts.items(), ends, strict=True)}

    @property
    def stages(self) -> list[str]:
        """Names of all stages that run here."""
        lines = run(["dvc", "stage", "list", "--name-only"], self.folder).splitlines()
        return [name for name in lines if not name.startswith("data/watch")]

    @property
    def environment(self) -> dict[str, str]:
        """Whose code runs: the copy's."""
        return {"PYTHONPATH": str(self.folder), "DVC_SITE_CACHE_DIR": str(self.folder.parent / "site")}

    def run(self, *arguments: str) -> str:
        """`dvc repro`."""
        return run(["dvc", "repro", *arguments], self.folder, **self.environment)

    def start(self, *arguments: str, log: Path) -> subprocess.Popen[bytes]:
        """`dvc` in a session of its own, so that a signal can reach all of it."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = os.environ | {"PATH": path} | self.environment
        with log.open("wb") as stream:
            return subprocess.Popen(
                ["dvc", *arguments],
                cwd=self.folder,
                env=environment,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def strike(self, kill: Kill) -> bool:
        """Runs and kills; False if it ended before."""
        self.forget_runs()
        started = self.start("repro", "--force", "--single-item", kill.stage, log=self.folder.parent / "killed.log")
        struck = self._wait_and_kill(kill, started)
        started.wait(_PATIENCE)
        return struck

    def _wait_and_kill(self, kill: Kill, started: subprocess.Popen[bytes]) -> bool:
        begun, seen = time.monotonic(), False
        while started.poll() is None:
            stages = [process for process in list_processes(started.pid) if "stages." in join_words(process)]
            seen = seen or bool(stages)
            if kill.afterwards:
                if seen and not stages:
                    time.sleep(kill.moment)
                    break
            elif time.monotonic() - begun >= kill.moment * self.seconds.get(kill.stage, _USUAL):
                break
            time.sleep(_POLL)
        return self._send(kill, started)

    def _send(self, kill: Kill, started: subprocess.Popen[bytes]) -> bool:
        while started.poll() is None:
            try:  # a process may end while it is looked at
                processes = list_processes(started.pid)
                mains = [process for process in processes if "stages." in join_words(process)]
                workers = [child for process in mains for child in process.children()]
                targets = {"stage": mains, "worker": workers or mains}.get(kill.target)
                if kill.target == "group":
                    os.killpg(started.pid, kill.signal)
                    return True
                if kill.target == "dvc":
                    os.kill(started.pid, kill.signal)
                    return True
                if targets:
                    targets[0].send_signal(kill.signal)
                    return True
            except (ProcessLookupError, psutil.NoSuchProcess):
                pass
            time.sleep(_POLL)
        return False

    def copy(self, folder: Path) -> "Victim":
        """The same in another place."""
        shutil.copytree(self.folder, folder, symlinks=True)
        other = object.__new__(Victim)
        other.folder, other.lock, other.seconds = folder, self.lock, self.seconds
        other.run()
        return other

    def measure(self, stage: str) -> int:
        """Bytes that a stage writes, about."""
        folder, _, family = stage.partition("@")
        names = {
            "train": ["models", f"metrics/{family}"],
            "evaluate": [f"metrics/{family}", f"data/evaluations/{family}"],
        }
        places = [self.folder / name for name in names.get(folder, ["data/raw", "data/tfrecords"])]
        return sum(file.stat().st_size for place in places for file in place.rglob("*") if file.is_file())

    def forget_runs(self) -> None:
        """So that a stage that was killed has to run again, as the first time."""
        shutil.rmtree(self.folder / ".dvc" / "cache" / "runs", ignore_errors=True)

    def recover(self) -> tuple[str | None, str]:
        """(What is not as in an undisturbed run after `dvc repro`, or None; its output.)"""
        log = self.folder.parent / "recovered.log"
        status = self.start("repro", log=log).wait(600)
        output = log.read_text(errors="replace")
        if status:
            return f"dvc repro exited with {status}", output
        return self.find_difference(), output

    def find_difference(self) -> str | None:
        """From the undisturbed run: in dvc.lock, in a file that git knows, in an output, or something left over."""
        if (self.folder / "dvc.lock").read_bytes() != self.lock:
            return "dvc.lock differs"
        if changed := run(["git", "status", "--porcelain"], self.folder):
            return f"git status: {changed}"
        partial = [
            path
            for name in ("data", "models", "metrics")
            for path in (self.folder / name).rglob("*.partial")
            if not any(map(read_key, (path, *path.parents)))  # parts that wait for the next run
        ]
        if partial:
            return f"left over: {partial}"
        if alive := [join_words(process) for process in list_inside(self.folder)]:
            return f"still runs: {alive}"
        return None


class Tally:
    """What came of so many disturbances, said as they go."""

    def __init__(self, count: int, capsys: pytest.CaptureFixture[str]) -> None:
        self.count, self.done, self.counts, self.faults = count, 0, Counter[str](), list[str]()
        self._capsys = capsys

    def recover(self, victim: Victim) -> str | None:
        """`dvc repro` after one of them; what is then not as undisturbed."""
        difference, output = victim.recover()
        self.counts["mended"] += "mended" in output
        if difference is None:
            return None
        victim.run()
        return f"{difference}: {output[-600:]}"

    def note(self, disturbance: object, *faults: str | None) -> None:
        """What came of it. faults: None for each thing that is as it should be."""
        found = "; ".join(filter(None, faults))
        self.done += 1
        self.faults += [f"{disturbance}: {found}"] * bool(found)
        self._say(f"{self.done}/{self.count} {disturbance}: {found or 'as undisturbed'}")

    def close(self, what: str) -> None:
        """Says how many left no trace, and asserts that all did. what: kills."""
        self._say(f"{self.count - len(self.faults)} of {self.count} {what} left no trace: {dict(self.counts)}")
        assert self.faults == []

    def _say(self, line: str) -> None:
        with self._capsys.disabled():
            print(line, flush=True)


def join_words(process: psutil.Process) -> str:
    """Its command line, or nothing if it has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def list_processes(pid: int) -> list[psutil.Process]:
    """A process's children, and theirs."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def list_inside(folder: Path) -> Iterator[psutil.Process]:
    """Processes that run in a folder and have not ended a moment later."""
    end = time.monotonic() + _PATIENCE / 2
    while True:
        found = []
        for process in psutil.process_iter(["cwd", "status"]):
            inside = Path(process.info["cwd"] or "/").is_relative_to(folder)
            if inside and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process)
        if not found or time.monotonic() > end:
            break
        time.sleep(0.1)
    yield from found
