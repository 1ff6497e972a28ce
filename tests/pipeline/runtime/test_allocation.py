import os
import platform
import resource
import subprocess
import sys

import pytest

from tests.conftest import ROOT

needs_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has mallopt")

# Allocates and frees 8 MB, a hundred times, as steps of training do; prints page faults of the last ninety.
WORK = """
import resource, sys
from pipeline.runtime.allocation import keep_freed_memory
if sys.argv[1] == "keep":
    print(keep_freed_memory())
def count():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
blocks = [bytearray(8 << 20) for _ in range(4)]
for number in range(100):
    if number == 10:
        before = count()
    blocks = [bytearray(8 << 20) for _ in range(4)]
print(count() - before)
"""


def work(how: str, **environment: str) -> list[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-c", WORK, how]
    return subprocess.check_output(command, env=clean | environment, cwd=ROOT, text=True).split()


@needs_glibc
def test_memory_that_is_freed_is_used_again_without_page_faults():
    (before,), (is_kept, after) = work("leave"), work("keep")
    assert is_kept == "True"
    assert int(after) < int(before) / 10
    pages = (4 * 8 << 20) // resource.getpagesize()
    assert int(before) > pages, "or there would be nothing to spare"


@needs_glibc
@pytest.mark.parametrize(
    "setting", [{"MALLOC_ARENA_MAX": "2"}, {"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=100000"}], ids=list
)
def test_what_the_user_has_set_counts(setting):
    assert work("keep", **setting)[0] == "False"


def test_without_glibc_nothing_is_done(monkeypatch):
    from pipeline.runtime import allocation

    monkeypatch.setattr(allocation.ctypes, "CDLL", lambda _: object())
    for name in [name for name in os.environ if name.startswith(("MALLOC_", "GLIBC_TUNABLES"))]:
        monkeypatch.delenv(name)
    assert allocation.keep_freed_memory() is False
