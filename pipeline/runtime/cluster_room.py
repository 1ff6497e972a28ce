"""How many tasks of a kind the nodes of a Ray cluster can do at once, and how many processors each of them is given."""

import math
from typing import Any, Literal

from pipeline.runtime.errors import PipelineError


def find_room(
    nodes: list[dict[str, Any]], threads: int, devices: int | Literal["all"] = 1, *, on_gpu: bool = True
) -> tuple[int, int]:
    """(Processors of a task, how many tasks run at once); at least 1 each. nodes: as Ray lists them.

    A task has `threads` processors, or as many as the largest node has; and, on_gpu, one GPU, where there are any: then only
    nodes with GPUs count. Raises PipelineError where a training would take more GPUs than that.
    """
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    able = [resources for resources in alive if on_gpu and resources.get("GPU", 0) >= 1]
    if able and devices not in (1, "all"):
        raise PipelineError(
            f"runtime.devices {devices}: a stage on the cluster is given one GPU: expected 1 or all, or runtime.cluster local"
        )
    gpus, able = bool(able), able or alive
    needs = max(1, min(threads, int(max((resources.get("CPU", 0) for resources in able), default=0))))
    most = [(resources.get("CPU", 0) // needs, resources["GPU"] if gpus else math.inf) for resources in able]
    room = sum(int(min(by_cpu, by_gpu)) for by_cpu, by_gpu in most)
    return needs, max(1, room)
