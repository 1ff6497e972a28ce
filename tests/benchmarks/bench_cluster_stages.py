"""What it costs a stage to run on a node of a Ray cluster instead of beside DVC.

Run: python tests/benchmarks/bench_cluster_stages.py. Needs the extra `ray`. Stages do nothing, one at a time, so that all
seconds are overhead: DVC's own, and Ray's besides. Target: 10 s more for each stage at most, where a training takes minutes.
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.clone import PROJECT, commit, run

STAGES, ROUNDS = 4, 3


def main() -> None:
    """Alternately, as other work on the machine changes both."""
    from ray.cluster_utils import Cluster

    os.environ |= {"PYTHONPATH": str(PROJECT), "DVC_NO_ANALYTICS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = make_project(Path(name))
            rounds = [(measure(folder), measure(folder, cluster.address)) for _ in range(ROUNDS)]
    finally:
        cluster.shutdown()
    for what, number in (("seconds", 0), ("seconds of processor time on the side of DVC", 1)):
        here, there = (sorted(pair[side][number] for pair in rounds)[ROUNDS // 2] for side in (0, 1))
        print(
            f"{what} for each of {STAGES} stages: {here:.2f} beside DVC, {there:.2f} on a node, {there - here:.2f} more"
        )


def make_project(folder: Path) -> Path:
    """Its stages are trainings that do nothing."""
    families = [f"family{number}" for number in range(STAGES)]
    stage = {"matrix": {"family": families}, "cmd": "echo > ${item.family}", "outs": ["${item.family}"]}
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"train": stage}}))
    params = yaml.safe_load((PROJECT / "params.yaml").read_text())
    params["runtime"]["cluster"] = "ray"
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    run(["git", "init", "--quiet"], folder)
    run([sys.executable, "-m", "dvc", "init", "--quiet"], folder)
    commit(folder, "start")
    return folder


def measure(folder: Path, address: str = "") -> tuple[float, float]:
    """(Seconds, seconds of processor time) for each stage. The start of `stages.repro` counts, too."""
    for file in [folder / "dvc.lock", *folder.glob("family*")]:
        file.unlink(missing_ok=True)
    shutil.rmtree(folder / ".dvc" / "cache", ignore_errors=True)  # nothing comes from earlier runs
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "stages.repro", "-j", "1"]
    subprocess.run(command, cwd=folder, env=os.environ | {"RAY_ADDRESS": address}, check=True, capture_output=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    return (time.perf_counter() - start) / STAGES, seconds / STAGES


if __name__ == "__main__":
    main()
