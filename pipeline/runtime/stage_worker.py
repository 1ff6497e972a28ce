"""A process that runs stages by DVC, which it loads once: what pipeline.runtime.side_by_side starts. Imports DVC.

It reads lines: a stage's name, a tab, and the cores that the stage may use, as 0,1, or nothing for all of them. After what DVC
and the stage say, it writes the exit status of `dvc repro --single-item`, on a line with ANSWER before it.
"""

import os
import sys

from pipeline.runtime.dvc_failures import advising
from pipeline.runtime.dvc_writes import make_dvc_write_whole
from pipeline.runtime.lifetime import DVC_PID, end_with
from pipeline.runtime.side_by_side import ANSWER


def main() -> None:
    from dvc.cli import main as dvc

    end_with(os.getppid())
    make_dvc_write_whole()
    os.environ[DVC_PID] = str(os.getpid())
    all_cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    for line in sys.stdin:
        stage, _, cores = line.rstrip("\n").partition("\t")
        if all_cores:
            os.sched_setaffinity(0, [int(core) for core in cores.split(",")] if cores else all_cores)
        with advising():
            status = dvc(["--wait-for-lock", "repro", "--single-item", stage])
        print(f"{ANSWER}{status}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
