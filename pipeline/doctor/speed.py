"""How fast each family embeds and trains here: asks a process of its own, which imports TensorFlow."""

import json
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.runtime.logins import hide_logins
from pipeline.runtime.paths import PARAMS
from pipeline.runtime.progress import progress_bar

_GRACE, _START = 1.5, 60.0  # times the seconds asked for, and seconds for TensorFlow: then the process is ended


@dataclass(frozen=True)
class Request:
    """What to measure. overrides: of params.yaml, by name. seconds: after TensorFlow's start, until which families are begun.
    num_classes: of the data. file: with the parameters. patience: of a backbone's images, as many times the usual steps."""

    families: list[str]
    overrides: dict[str, Any]
    seconds: float
    num_classes: int
    file: str = str(PARAMS)
    patience: int = 1


@dataclass(frozen=True)
class Speed:
    """In seconds. start: until TensorFlow is there, without the disk. begin: until the first step or batch is over. step: one
    training step. embed: one image through a backbone. head: one training step on its features. tail: one image in training of
    what follows the cut, on its activations. product, sweep: of a linear machine, one multiplication of square matrices, and
    one number of a matrix times a thin one; of a backbone, product is in float64, as suspected labels are sought.

    num_features: of a backbone. cut_numbers: of an image's activations at the cut, if there is one; stem_share: of the
    backbone's multiply-adds, those before it. parameters: of the model, or of the backbone. peak: bytes of memory of the
    process so far.
    """

    family: str
    start: float = 0.0
    begin: float = 0.0
    step: float = 0.0
    embed: float = 0.0
    head: float = 0.0
    tail: float = 0.0
    product: float = 0.0
    sweep: float = 0.0
    num_features: int = 0
    cut_numbers: int = 0
    stem_share: float = 0.0
    parameters: int = 0
    peak: int = 0


def measure_speeds(request: Request) -> tuple[dict[str, Speed], str]:
    """By family, of those for which there was time; and why it ended early, or empty."""
    command = [sys.executable, "-m", "pipeline.doctor.measure", json.dumps(asdict(request))]
    found: dict[str, Speed] = {}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        timer = threading.Timer(_GRACE * request.seconds + _START, process.kill)
        timer.start()
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            with progress_bar(
                total=len(request.families), desc="measure", unit=" families", leave=False, disable=None
            ) as bar:
                for line in process.stdout:
                    speed = Speed(**json.loads(line))
                    found[speed.family] = speed
                    bar.update()
            trouble = process.stderr.read().strip().splitlines()
        finally:
            timer.cancel()
            process.kill()
    is_failure = process.returncode > 0
    return found, hide_logins(trouble[-1] if trouble else f"exit status {process.returncode}") if is_failure else ""
