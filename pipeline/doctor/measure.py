"""python -m pipeline.doctor.measure REQUEST: a line of JSON for each family as soon as it is measured.

REQUEST is a `Request` as JSON, a line a `Speed`. stages.doctor runs this in a process of its own, so that it can be ended.
"""

import json
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

from pipeline.config.reader import check_params, read_params
from pipeline.doctor.speed import Request
from pipeline.runtime.tensorflow import configure_tensorflow
from pipeline.runtime.timings import read_peak_memory


def main(text: str) -> None:
    """Writes lines until the time is over."""
    request = Request(**json.loads(text))
    params = check_params(read_params(Path(request.file)), request.overrides)
    configure_tensorflow(**params.runtime.of_one_device)
    from pipeline.doctor.steps import measure_family

    # Not by the clock: the first import of all waits for the disk, and no stage of a run does so again.
    start, began = time.process_time() * measure_wait(), time.perf_counter()
    for family in request.families:
        if time.perf_counter() - began > request.seconds:
            return
        speed = measure_family(family, params, request.num_classes, request.patience)
        print(json.dumps(asdict(replace(speed, start=start, peak=int(read_peak_memory() * 1e6)))), flush=True)


def measure_wait(seconds: float = 0.2) -> float:
    """How much longer by the clock something takes than in processor time: 1 where no other program wants the cores. seconds:
    of processor time, which are spent on it."""
    began, used = time.perf_counter(), time.process_time()
    while (spent := time.process_time() - used) < seconds:
        pass
    return max(1.0, (time.perf_counter() - began) / spent)


if __name__ == "__main__":
    main(sys.argv[1])
