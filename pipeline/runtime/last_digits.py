"""What decides the last digits of a training: processor, libraries, kernels, threads, precision. Where it is the same on two
machines, so should be the bytes. Imports no TensorFlow.
"""

import hashlib
import os
import platform
from importlib.metadata import version
from pathlib import Path

from pipeline.runtime.machine import find_gpus, find_missing_gpu_packages
from pipeline.runtime.tensorflow import TrainingMode, get_training_mode

_PACKAGES = ("tensorflow", "keras", "numpy", "scikit-learn")
# That choose kernels of TensorFlow, oneDNN or OpenBLAS.
_FEATURES = ("avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8")
_PORTABLE = {"avx2", "fma"}  # what runtime.portable asks of a processor
_CPUINFO = Path("/proc/cpuinfo")
_PLAIN = TrainingMode()


def describe_last_digits(
    *, onednn: bool, threads: int, portable: bool, mode: TrainingMode = _PLAIN, cpuinfo: Path = _CPUINFO
) -> str:
    """In one line, as the parameters under `runtime` ask for it on this machine. TF_ENABLE_ONEDNN_OPTS, when set, wins.

    mode: of training; it is named where it is not the plain one. cpuinfo: where Linux says what the processor has.
    """
    kernels = os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1" if onednn else "0") != "0"
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return (
        f"{_describe_processor(portable, cpuinfo)}; {packages}; oneDNN {'on' if kernels else 'off'}; {threads} "
        f"thread{'s' if threads > 1 else ''}{_describe_mode(mode)}"
    )


def _describe_mode(mode: TrainingMode) -> str:
    named = [mode.precision] if mode.precision != _PLAIN.precision else []
    named += ["XLA"] if mode.xla else []
    named += [f"{mode.devices} devices"] if mode.devices > 1 else []
    return f"; training with {', '.join(named)}" if named else ""


def describe_configured() -> str:
    """The same of a process in which TensorFlow was configured, by what that has set."""
    threads = os.environ.get("TF_NUM_INTRAOP_THREADS", "0")
    return describe_last_digits(
        onednn=True,
        threads=int(threads) if threads.isdigit() else 0,
        portable="ONEDNN_MAX_CPU_ISA" in os.environ,
        mode=get_training_mode(),
    )


def compute_digest(description: str) -> str:
    """16 hex digits."""
    return hashlib.sha256(description.encode()).hexdigest()[:16]


def _describe_processor(portable: bool, cpuinfo: Path) -> str:
    gpus = [] if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1") else find_gpus()
    if gpus and not find_missing_gpu_packages():
        return " and ".join(f"GPU {gpu.name}" for gpu in gpus)
    machine = platform.machine()
    maker, features = _read_processor(cpuinfo)
    if machine not in ("x86_64", "AMD64"):
        return f"{machine} {platform.system()}"
    if portable and features >= _PORTABLE:
        return "any x86-64 with AVX2 and FMA (runtime.portable)"
    return f"x86-64 {maker} with {' '.join(name for name in _FEATURES if name in features) or 'unknown features'}"


def _read_processor(cpuinfo: Path) -> tuple[str, set[str]]:
    """(Its maker, what it has.)"""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:  # not Linux
        return platform.system(), set()
    entries = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in reversed(lines))}
    return entries.get("vendor_id", "of an unknown maker"), set(entries.get("flags", "").split())
