"""What the tasks of a stage have found, kept until all are done: a run that goes on after a kill takes it over, and does none
of it twice."""

import json
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from pipeline.runtime.files import continue_partial, remove, write_aside


class Parts:
    """A file for each task, whole or not there: arrays of numbers, and what JSON can hold."""

    def __init__(self, folder: Path | None) -> None:
        """folder: of one key, see `pipeline.data.part_key`. None: nothing is kept."""
        self._folder = folder

    def load(self, name: str) -> tuple[dict[str, np.ndarray], Any] | None:
        """What `save` was given of this name; None if there is nothing, or nothing that can be read."""
        if self._folder is None:
            return None
        try:
            # np.load of a path leaves a damaged file open.
            with (self._folder / f"{name}.npz").open("rb") as stream, np.load(stream, allow_pickle=False) as file:
                arrays = dict(file)
            return arrays, json.loads(arrays.pop("rest").tobytes())
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            return None

    def save(self, name: str, arrays: dict[str, np.ndarray], rest: Any = None) -> None:
        """arrays: of numbers. rest: texts and numbers in lists and dicts."""
        if self._folder is None:
            return
        text = np.frombuffer(json.dumps(rest).encode(), np.uint8)
        with write_aside(self._folder / f"{name}.npz") as partial, partial.open("wb") as stream:
            np.savez(stream, allow_pickle=False, rest=text, **arrays)

    def remove(self) -> None:
        """All of them: the output that they are for is there."""
        if self._folder is not None:
            remove(self._folder)


NOTHING_KEPT = Parts(None)


def open_parts(path: Path, key: str | None) -> Parts:
    """Those that a run with this key has kept beside the outputs, in the folder `<path>.partial`, if it was killed. key: see
    `compute_part_key`; None: nothing is kept."""
    return NOTHING_KEPT if key is None else Parts(continue_partial(path, key))
