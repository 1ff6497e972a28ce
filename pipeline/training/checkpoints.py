"""Checkpoints of trainings that have not ended, beside DVC's cache: one file per phase. What was killed goes on from there.

A training has a folder, named after its family and a digest of all that its result depends on: with other settings, data or
code it is another training. The folder is removed when the training has ended.
"""

import json
import logging
import os
import shutil
import time
import uuid
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from pipeline.runtime.files import remove

logger = logging.getLogger(__name__)

Scalar: TypeAlias = int | float | str | None

_MOST_TRAININGS, _MOST_BYTES = 8, 10e9  # of trainings that were killed and never ended; the latest are kept
_STALE = 3600.0  # seconds after which a file that is being written belongs to a process that was killed
_ASSUMED_SPEED = 100e6  # bytes per second, until the first checkpoint has been written
_RESERVE = 3  # times the size of a checkpoint that the disk must have free: it is there for results
_DAMAGE = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, NotImplementedError),
    *(zipfile.BadZipFile, zlib.error),
)


@dataclass(frozen=True)
class Pace:
    """first: seconds of training without a checkpoint, so that short trainings write none. share: of the time that writing
    them may take."""

    first: float = 30.0
    share: float = 0.02


PACE = Pace()


@dataclass(frozen=True)
class Checkpoint:
    """Where a phase of training was after an epoch.

    history: name of a metric to its value in each finished epoch. callbacks: class to its counters. variables: weights,
    random states, the optimizer's. best: the weights of the best epoch; None: the last one is the best. random: the states of
    Python's and NumPy's generators, as JSON. seconds: of training, in all processes.
    """

    history: dict[str, list[float]]
    callbacks: dict[str, dict[str, Scalar]]
    variables: list[np.ndarray]
    best: list[np.ndarray] | None
    random: list[Any]
    seconds: float = 0.0

    @property
    def epochs(self) -> int:
        """How many are finished."""
        return len(self.history["loss"])

    @property
    def num_bytes(self) -> int:
        """Of its file, roughly."""
        return sum(array.nbytes for array in [*self.variables, *(self.best or [])])


class Checkpoints:
    """The checkpoints of one training; see the module."""

    def __init__(
        self, parent: Path | None, family: str, compute_key: Callable[[], str], pace: Pace | None = None
    ) -> None:
        """parent: of the folders of all trainings, absolute; None: there are no checkpoints. compute_key: called once, and only
        if there is something to read or to write, as it reads all data."""
        self._parent, self._family, self._compute_key, self._pace = parent, family, compute_key, pace or PACE
        self._start = self._last = time.monotonic()
        self._interval = self._pace.first
        self._writes = parent is not None
        self.seconds_before = 0.0  # of training, in processes that were killed

    @cached_property
    def _key(self) -> str:
        return self._compute_key()

    @cached_property
    def folder(self) -> Path:
        """Of this training; it need not exist."""
        assert self._parent is not None
        return self._parent / f"{self._family}-{self._key[:24]}"

    def look(self) -> None:
        """Says so where only other trainings of this family were interrupted, and removes what exceeds the limits."""
        if self._parent is None or not self._parent.is_dir():
            return
        has_any = any(self._parent.glob(f"{self._family}-*"))
        if has_any and not self.folder.exists():
            logger.info(
                "%s: begins anew: its checkpoints in %s are of other settings, data or code", self._family, self._parent
            )
        tidy(self._parent, keep=self.folder if has_any else None)

    def load(self, phase: str) -> Checkpoint | None:
        """What is kept of a phase. A file that is damaged, or of another training, is removed, in one line."""
        if self._parent is None or not any(self._parent.glob(f"{self._family}-*")):
            return None
        file = self._name_file(phase)
        if not file.exists():
            return None
        try:
            found, about = read_checkpoint(file)
        except _DAMAGE as error:
            said = f"{type(error).__name__}: {error}".partition("\n")[0].rstrip(": ")
            logger.warning(
                "%s: begins anew: the checkpoint %s is damaged (%s), and is removed", self._family, file, said
            )
            file.unlink(missing_ok=True)
            return None
        if about != self._describe(phase):
            logger.warning(
                "%s: begins anew: the checkpoint %s is of other settings, and is removed", self._family, file
            )
            file.unlink(missing_ok=True)
            return None
        self.seconds_before = max(self.seconds_before, found.seconds)
        return found

    def is_due(self) -> bool:
        """Whether so much time has passed since the last checkpoint that another one costs little."""
        return self._writes and time.monotonic() - self._last >= self._interval

    def write(self, phase: str, make: Callable[[float], Checkpoint]) -> None:
        """Writes a checkpoint if it is small for the time since the last one, and for the disk. A failure is said once, and
        ends no training. make: called with the seconds of training so far."""
        begin = time.monotonic()
        checkpoint = make(self.seconds_before + begin - self._start)
        least = max(self._pace.first, checkpoint.num_bytes / _ASSUMED_SPEED / self._pace.share)
        if self._last == self._start and begin - self._start < least:
            self._interval = least
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self.folder).free
            if free < _RESERVE * checkpoint.num_bytes:
                raise OSError(f"{free / 1e6:.0f} MB are free, {_RESERVE * checkpoint.num_bytes / 1e6:.0f} are needed")
            write_checkpoint(self._name_file(phase), checkpoint, self._describe(phase))
        except OSError as error:
            logger.warning("%s: no checkpoint in %s: %s; training goes on without", self._family, self._parent, error)
            self._writes = False
            return
        self._last = time.monotonic()
        self._interval = (self._last - begin) / self._pace.share
        logger.debug("%s: checkpoint of %s, %d epochs", self._family, phase, checkpoint.epochs)

    def remove(self) -> None:
        """After success. Also what a killed process was about to write."""
        if self._parent is not None and any(self._parent.glob(f"{self._family}-*")):
            remove(self.folder)
            remove_empty(self._parent)

    def _name_file(self, phase: str) -> Path:
        return self.folder / f"{phase}.npz"

    def _describe(self, phase: str) -> str:
        return f"{self._family} {phase} {self._key}"


NO_CHECKPOINTS = Checkpoints(None, "", lambda: "")


class PhaseCheckpoints:
    """Those of one phase of a training."""

    def __init__(self, checkpoints: Checkpoints, phase: str) -> None:
        """phase: a name, the same in each process."""
        self._checkpoints, self._phase = checkpoints, phase
        self.found = checkpoints.load(phase)
        self.is_due = checkpoints.is_due

    @property
    def first_epoch(self) -> int:
        """The one to go on with, from 0."""
        return self.found.epochs if self.found else 0

    def write(self, make: Callable[[float], Checkpoint]) -> None:
        """See `Checkpoints.write`."""
        self._checkpoints.write(self._phase, make)


NO_PHASE = PhaseCheckpoints(NO_CHECKPOINTS, "")


def write_checkpoint(file: Path, checkpoint: Checkpoint, about: str) -> None:
    """Writes aside, to the disk itself, and renames. Two processes that train the same may write at once: each has a name of
    its own for what it writes."""
    content = {
        "about": about,
        "history": checkpoint.history,
        "callbacks": checkpoint.callbacks,
        "variables": len(checkpoint.variables),
        "best": None if checkpoint.best is None else len(checkpoint.best),
        "random": checkpoint.random,
        "seconds": checkpoint.seconds,
    }
    arrays: dict[str, Any] = {f"variable-{number}": array for number, array in enumerate(checkpoint.variables)}
    arrays |= {f"best-{number}": array for number, array in enumerate(checkpoint.best or [])}
    partial = file.with_name(f"{file.stem}-{uuid.uuid4().hex}.partial")
    try:
        with partial.open("xb") as stream:
            np.savez(stream, content=np.frombuffer(json.dumps(content).encode(), np.uint8), **arrays)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def read_checkpoint(file: Path) -> tuple[Checkpoint, str]:
    """The checkpoint and what it is about. Nothing in the file is run. Raises one of many exceptions where it is damaged: each
    array has a checksum."""
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
        content = json.loads(archive["content"].tobytes())
        about = content.pop("about")
        content["variables"] = [archive[f"variable-{number}"] for number in range(content["variables"])]
        if content["best"] is not None:
            content["best"] = [archive[f"best-{number}"] for number in range(content["best"])]
    checkpoint = Checkpoint(**content)
    if not checkpoint.epochs:
        raise ValueError("no epoch")
    return checkpoint, about


def tidy(parent: Path, *, keep: Path | None) -> None:
    """Removes files that a killed process was writing, and of trainings that never ended the oldest, but not `keep`."""
    for partial in parent.glob("*/*.partial"):
        if time.time() - _read_time(partial) > _STALE:
            partial.unlink(missing_ok=True)
    number, total = 0, 0.0
    for folder in sorted(filter(Path.is_dir, parent.iterdir()), key=_read_time, reverse=True):
        number, total = number + 1, total + sum(file.stat().st_size for file in folder.glob("*.npz"))
        if folder != keep and (number > _MOST_TRAININGS or total > _MOST_BYTES):
            logger.info("removed %s: of a training that was interrupted and never ended", folder)
            shutil.rmtree(folder, ignore_errors=True)


def _read_time(path: Path) -> float:
    """When it was last changed; for a folder, when a checkpoint was last renamed into it."""
    try:
        return path.stat().st_mtime
    except OSError:  # another process has removed it
        return 0.0


def remove_empty(folder: Path) -> None:
    """Removes a folder with nothing in it."""
    try:
        folder.rmdir()
    except OSError:  # not empty, or gone
        return
