"""`dvc repro` with nothing to do, against `dvc status`, in this project.

Run after `make repro`: python tests/benchmarks/bench_status.py. Goal: at most 1.5x the time.
"""

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.pairs import compare, rate

PROJECT = Path(__file__).parents[2]


def run(*command: str) -> str:
    return subprocess.run(["dvc", *command], cwd=PROJECT, check=True, capture_output=True, text=True).stdout


def main() -> None:
    if "Running stage" in run("repro", "--dry"):
        sys.exit("error: the project is not up to date: run `make repro` first")
    # The rate of status over that of repro is the time of repro over that of status.
    compare(
        "time of an idle repro, of that of status",
        lambda: rate(1000, lambda: run("status")),
        lambda: rate(1000, lambda: run("repro")),
        unit="per 1000 s",
    )


if __name__ == "__main__":
    main()
