from pathlib import Path
from typing import Any

import pytest

from pipeline.runtime.last_digits import compute_digest, describe_configured, describe_last_digits
from pipeline.runtime.machine import Gpu
from pipeline.runtime.tensorflow import TrainingMode

AMD = "processor : 0\nvendor_id : AuthenticAMD\nflags : fpu sse2 fma avx avx2\n"
INTEL = "processor : 0\nvendor_id : GenuineIntel\nflags : fpu sse2 fma avx avx2 avx512f avx512_vnni\n"
OLD = "processor : 0\nvendor_id : GenuineIntel\nflags : fpu sse2 avx\n"
ASKED = {"onednn": True, "threads": 2}


@pytest.fixture(autouse=True)
def _machine(monkeypatch):
    """An x86-64 without GPU, on which the user has set nothing."""
    monkeypatch.setattr("pipeline.runtime.last_digits.platform.machine", lambda: "x86_64")
    monkeypatch.setattr("pipeline.runtime.last_digits.find_gpus", list)
    for name in ("TF_ENABLE_ONEDNN_OPTS", "CUDA_VISIBLE_DEVICES", "ONEDNN_MAX_CPU_ISA", "TF_NUM_INTRAOP_THREADS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def describe(tmp_path):
    def call(cpuinfo: str, *, portable: bool = True, **changes: Any) -> str:
        file: Path = tmp_path / "cpuinfo"
        file.write_text(cpuinfo)
        return describe_last_digits(**(ASKED | changes), portable=portable, cpuinfo=file)

    return call


def test_portable_arithmetic_is_the_same_for_both_makers(describe):
    assert describe(AMD) == describe(INTEL)
    assert describe(AMD).startswith("any x86-64 with AVX2 and FMA (runtime.portable); tensorflow ")
    assert describe(AMD).endswith("; oneDNN on; 2 threads")


def test_otherwise_maker_and_kernels_count(describe):
    assert describe(INTEL, portable=False).startswith("x86-64 GenuineIntel with avx avx2 fma avx512f avx512_vnni;")
    assert describe(AMD, portable=False).startswith("x86-64 AuthenticAMD with avx avx2 fma;")


def test_a_processor_that_lacks_what_portable_needs_is_one_of_its_own(describe):
    assert describe(OLD).startswith("x86-64 GenuineIntel with avx;")


def test_threads_and_onednn_count(describe, monkeypatch):
    assert describe(AMD, threads=1).endswith("; oneDNN on; 1 thread")
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert "oneDNN off" in describe(AMD)


def test_other_machines_are_named(describe, monkeypatch):
    monkeypatch.setattr("pipeline.runtime.last_digits.platform.machine", lambda: "aarch64")
    assert describe(AMD).startswith("aarch64 ")


def test_a_gpu_counts_where_it_can_be_used(describe, monkeypatch):
    monkeypatch.setattr("pipeline.runtime.last_digits.find_gpus", lambda: [Gpu("NVIDIA A100", 0)])
    monkeypatch.setattr("pipeline.runtime.last_digits.find_missing_gpu_packages", list)
    assert describe(AMD).startswith("GPU NVIDIA A100; ")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert describe(AMD).startswith("any x86-64")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr("pipeline.runtime.last_digits.find_missing_gpu_packages", lambda: ["nvidia-cudnn"])
    assert describe(AMD).startswith("any x86-64")


def test_a_process_says_what_it_was_configured_with(monkeypatch):
    for name, value in (
        ("TF_NUM_INTRAOP_THREADS", "4"),
        ("TF_ENABLE_ONEDNN_OPTS", "1"),
        ("ONEDNN_MAX_CPU_ISA", "AVX2"),
    ):
        monkeypatch.setenv(name, value)
    assert describe_configured() == describe_last_digits(onednn=True, threads=4, portable=True)


def test_how_steps_of_training_are_computed_is_named_unless_it_is_plain(describe):
    assert describe(AMD, mode=TrainingMode()) == describe(AMD)
    said = describe(AMD, mode=TrainingMode("mixed_bfloat16", xla=True, devices=2)).removeprefix(describe(AMD))
    assert said == "; training with mixed_bfloat16, XLA, 2 devices"
    assert describe(AMD, mode=TrainingMode(devices=3)).endswith("; training with 3 devices")


def test_a_digest_is_of_the_description():
    assert compute_digest("a") == compute_digest("a") != compute_digest("b")
    assert len(compute_digest("a")) == 16
