"""What this machine has: cores, memory, disk space and GPUs, a container's share where there is one. Imports no TensorFlow."""

import shutil
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import psutil
import pynvml
from packaging.requirements import Requirement

from pipeline.runtime.processes import num_cores

_GROUPS, _MOUNT = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
_DRIVER = Path("/proc/driver/nvidia/gpus")


@dataclass(frozen=True)
class Cores:
    """usable: cores that processes are started for. quota: cores' worth of time that a container may take; None: all of it."""

    usable: int
    quota: float | None


@dataclass(frozen=True)
class Memory:
    """Bytes. total: of the machine, or of the container if that is less. available: what a new process can have of it."""

    total: int
    available: int


@dataclass(frozen=True)
class Gpu:
    """memory: bytes; 0 if the driver does not say."""

    name: str
    memory: int


def count_cores(groups: Path = _GROUPS, mount: Path = _MOUNT) -> Cores:
    """groups, mount: where Linux says which control group this process is in, and what its limits are."""
    quotas = []
    for folder in _list_groups("cpu", groups, mount):
        share = _read_numbers(folder / "cpu.max")  # version 2: quota and period, or `max` and period
        share = share or [*_read_numbers(folder / "cpu.cfs_quota_us"), *_read_numbers(folder / "cpu.cfs_period_us")]
        if len(share) == 2 and min(share) > 0:
            quotas.append(share[0] / share[1])
    usable = num_cores()
    quota = min(quotas, default=None)
    return Cores(usable, quota if quota is not None and quota < usable else None)


def measure_load() -> float:
    """How many processes wanted to run, on average over the last minute."""
    return psutil.getloadavg()[0]


def measure_memory(groups: Path = _GROUPS, mount: Path = _MOUNT) -> Memory:
    """groups, mount: as of `count_cores`."""
    found = psutil.virtual_memory()
    total, available = found.total, found.available
    for folder in _list_groups("memory", groups, mount):
        limit = _read_numbers(folder / "memory.max") or _read_numbers(folder / "memory.limit_in_bytes")
        used = _read_numbers(folder / "memory.current") or _read_numbers(folder / "memory.usage_in_bytes")
        if not limit or not used or limit[0] >= found.total:
            continue
        total = min(total, limit[0])
        available = min(available, max(0, limit[0] - used[0] + _read_reclaimable(folder / "memory.stat")))
    return Memory(total, available)


def _list_groups(controller: str, groups: Path, mount: Path) -> list[Path]:
    """The folders of this process's control group and those above it, whose limits hold too. A container sees its own group as
    the root, under a path that it does not have."""
    try:
        lines = groups.read_text().splitlines()
    except OSError:  # not Linux
        return []
    found: list[Path] = []
    for _, names, path in (line.split(":", 2) for line in lines if line.count(":") >= 2):
        if names and controller not in names.split(","):
            continue
        root = mount / controller if names else mount
        below = root / path.strip("/")
        found += [folder for folder in (below, *below.parents) if folder.is_relative_to(root) and folder.is_dir()]
    return list(dict.fromkeys(found))


def _read_numbers(file: Path) -> list[int]:
    """The numbers in a file; none if it does not exist or says `max`."""
    try:
        words = file.read_text().split()
        return [int(word) for word in words]
    except (OSError, ValueError):
        return []


def _read_reclaimable(file: Path) -> int:
    """Bytes of files that the kernel keeps in memory and gives up when asked."""
    try:
        values = dict(line.split(" ", 1) for line in file.read_text().splitlines())
        return int(values.get("total_inactive_file") or values.get("inactive_file") or 0)
    except (OSError, ValueError):
        return 0


def find_existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.exists())


def measure_free_disk(path: Path) -> int:
    """Bytes that can be written to the file system on which a path is, or would be."""
    return shutil.disk_usage(find_existing(path)).free


def is_same_disk(one: Path, other: Path) -> bool:
    """Whether two paths are, or would be, on one file system."""
    return find_existing(one).stat().st_dev == find_existing(other).stat().st_dev


def find_gpus(driver: Path = _DRIVER) -> list[Gpu]:
    """NVIDIA's, by its own library; where that is missing, by what the driver lists."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return [Gpu(folder.name, 0) for folder in sorted(driver.glob("*"))]
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        return [Gpu(pynvml.nvmlDeviceGetName(h), int(pynvml.nvmlDeviceGetMemoryInfo(h).total)) for h in handles]
    except pynvml.NVMLError:
        return []
    finally:
        pynvml.nvmlShutdown()


def find_missing_gpu_packages() -> list[str]:
    """The packages that the extra `gpu` installs, CUDA and cuDNN, and that are not here; all of them without TensorFlow."""
    try:
        wanted = [Requirement(line) for line in requires("tensorflow") or []]
    except PackageNotFoundError:
        return ["tensorflow"]
    cuda = [need for need in wanted if need.marker is not None and need.marker.evaluate({"extra": "and-cuda"})]
    plain = {need.name for need in wanted if need.marker is None or need.marker.evaluate({"extra": ""})}
    return sorted(need.name for need in cuda if need.name not in plain and not _is_installed(need.name))


def _is_installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True
