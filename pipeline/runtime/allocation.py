"""How this process asks the system for memory."""

import ctypes
import os
import sys

# Numbers of glibc's malloc.h, for mallopt(3).
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_SETTINGS = ((_MMAP_THRESHOLD, 512 << 20), (_TRIM_THRESHOLD, (2 << 30) - 1), (_TOP_PAD, 64 << 20))  # bytes


def keep_freed_memory() -> bool:
    """Lets the C library keep up to 2 GB that were freed, for what is allocated next; returns whether it does.

    Each step of training allocates and frees the same tensors. Those of some megabytes glibc would give back to the system each
    time, which then has to clear every page anew: 150 steps of fine-tuning from a cut had 1.4 million page faults, and took a
    tenth longer. Nothing is done without glibc, or where the user has set how it allocates.
    """
    if sys.platform != "linux" or any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    return mallopt is not None and all(mallopt(number, value) for number, value in _SETTINGS)
