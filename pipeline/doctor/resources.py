"""Disk, memory and cores: what a run needs against what there is, in words."""

from pathlib import Path

from pipeline.config.sections import Params
from pipeline.doctor.findings import Finding
from pipeline.doctor.needs import DiskNeeds, MemoryNeeds
from pipeline.runtime.dvc_facts import DvcFacts
from pipeline.runtime.machine import (
    Cores,
    Memory,
    find_gpus,
    find_missing_gpu_packages,
    is_same_disk,
    measure_free_disk,
)

_BUSY = 0.5  # of the cores, from which on other programs make a measurement longer
_SMALL = 50_000_000  # bytes; less is not worth a word

_Found = tuple[list[str], list[Finding]]


def show_bytes(size: float) -> str:
    """'3.1 GB', '18 MB': powers of ten, as on disks."""
    return (
        f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB" if size >= 1e6 else f"{size / 1e3:,.0f} kB"
    )


def describe_disk(needs: DiskNeeds, dvc: DvcFacts | None, project: Path, *, is_known: bool) -> _Found:
    """project: absolute. is_known: whether the pictures were counted, else the needs are those of 1,000."""
    parts = {"raw": needs.raw, "tfrecords": needs.tfrecords, "embeddings": needs.embeddings, "models": needs.models}
    listed = ", ".join(f"{name} {show_bytes(size)}" for name, size in parts.items() if size)
    prefix = "about" if is_known else "the pictures themselves, and for each 1,000 of them about"
    lines = [f"needs {prefix} {show_bytes(needs.total)}: {listed}"]
    findings = []
    cache = dvc.cache if dvc else project
    copies = dvc.copies if dvc else 1
    is_one_disk = is_same_disk(cache, project)
    if copies > 1:
        where = "on this disk" if is_one_disk else "on the cache's disk"
        lines.append(f"as much again {where}: DVC copies between its cache and the project")
    places = {"project": (project, needs.total * (copies if is_one_disk else 1))}
    if not is_one_disk:
        places["cache"] = (cache, needs.total)
    for name, (folder, size) in places.items():
        free = measure_free_disk(folder)
        lines.append(f"free where the {name} is: {show_bytes(free)}")
        if size > free:
            findings.append(
                Finding(
                    f"the disk of the {name} has {show_bytes(free)} free and the run needs about {show_bytes(size)}: free "
                    "some, choose a cache elsewhere by `dvc cache dir --local PATH`, or lower preprocess.image_size",
                    stops=True,
                )
            )
    return lines, findings


def describe_memory(needs: MemoryNeeds, memory: Memory, workers: int, params: Params) -> _Found:
    """workers: processes that decode."""
    parts = [f"training about {show_bytes(needs.train)}" if needs.train else ""]
    parts += [f"a linear machine {show_bytes(needs.linear)}" if needs.linear else ""]
    parts += [f"decoding {show_bytes(needs.decode)} in {workers} workers" if needs.decode > _SMALL else ""]
    lines = [
        f"{show_bytes(memory.available)} of {show_bytes(memory.total)} available; at most, "
        + ", ".join(filter(None, parts))
    ]
    available, findings = memory.available, []
    if needs.train > available:
        findings.append(
            Finding(
                f"training may need {show_bytes(needs.train)} and {show_bytes(available)} are available: lower train.cache_gb "
                f"(now {params.train.cache_gb:g}), train.batch_size or preprocess.image_size"
            )
        )
    if needs.linear > available:
        findings.append(
            Finding(
                f"a linear machine may need {show_bytes(needs.linear)} and {show_bytes(available)} are available: lower max_gb "
                "in its recipe, as -S +recipes.linear_svm.max_gb=0.5"
            )
        )
    if needs.decode > available:
        findings.append(
            Finding(
                f"{workers} workers with pictures of this size may need {show_bytes(needs.decode)} and {show_bytes(available)} "
                "are available: lower preprocess.num_workers, or prune.max_megapixels"
            )
        )
    return lines, findings


def describe_cores(cores: Cores, load: float) -> _Found:
    """With GPUs, as both decide how long training takes. load: as of `measure_load`, before anything was measured."""
    lines = [
        f"{cores.usable} usable" + (f", of which a container may take {cores.quota:g} at a time" if cores.quota else "")
    ]
    if load > _BUSY * cores.usable:
        lines.append(f"other programs are running (load {load:.1f}): what is measured now takes longer")
    findings: list[Finding] = []
    gpus = find_gpus()
    if not gpus:
        lines.append("no NVIDIA GPU found: training runs on the cores")
        return lines, findings
    lines += [f"GPU: {gpu.name}" + (f", {show_bytes(gpu.memory)}" if gpu.memory else "") for gpu in gpus]
    if missing := find_missing_gpu_packages():
        findings.append(
            Finding(
                f"there is a GPU, but TensorFlow can't use it: {len(missing)} CUDA packages are missing, such as {missing[0]}; "
                "run `pip install -c constraints.txt -e '.[gpu]'`"
            )
        )
    return lines, findings
