"""Other conditions than those of this process: what differs between machines and users, and must not show in any output."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.runtime.processes import num_cores

FOLDER = "a copy, für verify"  # a space, a comma and an umlaut
_LOCALES = ("tr_TR.utf8", "de_DE.utf8", "C", "C.utf8")  # in Turkish, the capital of i is another letter
_ZONES = ("VRF-13:45", "VRF+09:30")  # as POSIX has them, which needs no database of time zones
_MASKS = (0o077, 0o022)
_SEEDS = ("4711", "1")


@dataclass(frozen=True)
class Conditions:
    """workers: processes of a stage that takes a number. umask: as of `open`."""

    locale: str
    zone: str
    umask: int
    hash_seed: str
    workers: int

    def make_environment(self) -> dict[str, str]:
        """The variables of a process under these conditions, with this environment's Python first on the path."""
        own = {"LC_ALL": self.locale, "LANG": self.locale, "TZ": self.zone, "PYTHONHASHSEED": self.hash_seed}
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        without = ("LANGUAGE", "GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE")
        return {name: value for name, value in os.environ.items() if name not in without} | own | {"PATH": path}

    def __str__(self) -> str:
        cores = f"1 core of {num_cores()}" if hasattr(os, "sched_setaffinity") else "all cores"
        workers = f"{self.workers} worker{'s' if self.workers > 1 else ''}"
        return (
            f"{cores}, {workers}, locale {self.locale}, time zone {self.zone}, umask {self.umask:03o}, hash seed "
            f"{self.hash_seed}, folder {FOLDER!r}"
        )


def choose_conditions(num_workers: int | None) -> Conditions:
    """Each other than here. num_workers: as preprocess.num_workers."""
    here = os.environ.get("LC_ALL") or os.environ.get("LC_CTYPE") or os.environ.get("LANG") or "C"
    installed = {"C", *_list_locales()}
    zone = time.strftime("%z")
    return Conditions(
        locale=next(name for name in _LOCALES if name in {"C.utf8", *installed} and _plain(name) != _plain(here)),
        zone=_ZONES[zone == "+1345"],
        umask=next(mask for mask in _MASKS if mask != _read_umask()),
        hash_seed=next(seed for seed in _SEEDS if seed != os.environ.get("PYTHONHASHSEED")),
        workers=1 if (num_workers or num_cores()) > 1 else 2,
    )


def _plain(locale: str) -> str:
    return locale.lower().replace("-", "")


def _list_locales() -> list[str]:
    try:
        return subprocess.run(
            ["locale", "-a"], capture_output=True, text=True, check=False, errors="replace"
        ).stdout.split()
    except OSError:
        return []


def _read_umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


@contextmanager
def on_one_core() -> Iterator[None]:
    """Processes that are started in the block have one core, on systems where that can be asked for."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
