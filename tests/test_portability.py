"""The same bits on other processors, which QEMU emulates: no kernel for AVX-512, other caches, exact instructions for 1/√x.

An emulated processor takes about thirty times as long, so that this is in no target but `make test-slow`; without QEMU's
qemu-x86_64 (Debian: qemu-user) it is skipped. PORTABILITY_PARTS="pictures numpy" compares these alone (names as in
portability.py); `-k Haswell` emulates one processor alone.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("portability.py")
PARTS = os.environ.get("PORTABILITY_PARTS", "").split()  # none: all
QEMU = shutil.which("qemu-x86_64")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def compute(*emulator: str) -> dict[str, str]:
    """Digests by part."""
    # The interpreter itself, not the link in .venv, which the emulator would not take for the environment's.
    command = [*emulator, os.path.realpath(sys.executable), str(SCRIPT), *PARTS]
    paths = os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"exit status {done.returncode}: {done.stderr[-2000:]}"
    return dict(line.split() for line in done.stdout.splitlines())


@pytest.fixture(scope="module")
def here() -> dict[str, str]:
    return compute()


@pytest.mark.skipif(QEMU is None, reason="qemu-x86_64 is not installed")
@pytest.mark.parametrize("processor", ["Haswell", "Skylake-Client", "EPYC-Rome"])
def test_features_trainings_and_predictions_are_the_same_bits(here, processor):
    assert compute(str(QEMU), "-cpu", processor) == here


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system can't pin processes to cores")
def test_they_are_the_same_on_one_core(here):
    assert compute("taskset", "-c", "0") == here
