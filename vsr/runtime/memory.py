"""Memory of the process: its peak, and the allocator, which keeps what is freed for CPU runs."""

import ctypes
import platform
import sys
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_KEEP, _USUAL = 1 << 30, 1 << 17
_LARGEST_KEPT = 1 << 28
"""Larger blocks, as maps of a whole clip of 1280x720, go back to the kernel at once, since the
holes that they leave are hardly used again."""

_STATUS = Path("/proc/self/status")


def peak_resident_bytes() -> int:
    """Return the largest resident memory that this program has had.

    `ru_maxrss` of a new process on Linux begins with that of the process that started it.
    """
    if _STATUS.exists():
        lines = _STATUS.read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def keep_freed_memory() -> None:
    """Let glibc's allocator reuse freed blocks instead of giving them back to the kernel.

    By default every large tensor is mapped and cleared again: a quarter of the CPU time of the
    embedded U-Net went there. Peak memory does not rise. Does nothing where the C library is not
    glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT)
    libc.mallopt(_M_TRIM_THRESHOLD, _KEEP)


def release_freed_memory() -> None:
    """Give what is freed by now back to the kernel, once: later blocks are kept as before.

    Between stages of a large clip, since each stage has blocks of other sizes and would lay them
    beside those of the one before.
    """
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def give_back_freed_memory() -> None:
    """Give freed memory back to the kernel, now and from now on.

    For a machine that runs out of memory: slower, but encoders and other programs get a share.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_THRESHOLD, _USUAL)
    libc.mallopt(_M_TRIM_THRESHOLD, _USUAL)
    libc.malloc_trim(0)
