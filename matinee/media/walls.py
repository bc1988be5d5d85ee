"""The walls around one file's child, put up by itself before it reads the first byte. They can only be tightened.

Limits of the kernel hold memory, computing, open files, written files and processes. On Linux a filter of system calls
(seccomp) then leaves only what decoding from an open file needs: no socket, no opening of files, no new process.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import resource
import struct
import sys

from matinee.media.answers import Walls

# system calls that reading an open file, computing and answering need, by machine: name -> number
X86_64 = {
    "read": 0, "write": 1, "close": 3, "fstat": 5, "poll": 7, "lseek": 8, "mmap": 9, "mprotect": 10, "munmap": 11,
    "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "pread64": 17, "readv": 19, "writev": 20,
    "sched_yield": 24, "mremap": 25, "madvise": 28, "nanosleep": 35, "getpid": 39, "exit": 60, "uname": 63,
    "gettimeofday": 96, "getrlimit": 97, "getrusage": 98, "sysinfo": 99, "getuid": 102, "sigaltstack": 131,
    "gettid": 186, "futex": 202, "sched_getaffinity": 204, "restart_syscall": 219, "clock_gettime": 228,
    "clock_getres": 229,
    "clock_nanosleep": 230, "exit_group": 231, "newfstatat": 262, "set_robust_list": 273, "getcpu": 309,
    "getrandom": 318, "membarrier": 324, "rseq": 334,
}  # fmt: skip
AARCH64 = {
    "read": 63, "write": 64, "close": 57, "fstat": 80, "ppoll": 73, "lseek": 62, "mmap": 222, "mprotect": 226,
    "munmap": 215, "brk": 214, "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139, "pread64": 67,
    "readv": 65, "writev": 66, "sched_yield": 124, "mremap": 216, "madvise": 233, "nanosleep": 101, "getpid": 172,
    "exit": 93, "uname": 160, "gettimeofday": 169, "getrusage": 165, "sysinfo": 179, "getuid": 174, "sigaltstack": 132,
    "gettid": 178, "futex": 98, "sched_getaffinity": 123, "restart_syscall": 128, "clock_gettime": 113,
    "clock_getres": 114, "clock_nanosleep": 115, "exit_group": 94, "newfstatat": 79, "set_robust_list": 99,
    "getcpu": 168, "getrandom": 278, "membarrier": 283, "rseq": 293,
}  # fmt: skip
MACHINES = {"x86_64": (0xC000003E, X86_64), "aarch64": (0xC00000B7, AARCH64)}
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, FILTER = 1, 38, 22, 2
LOAD, EQUAL, BELOW, RETURN = 0x20, 0x15, 0x35, 0x06  # BPF: load word, jump if equal, jump if >=, return
ALLOW, DENY, KILL = 0x7FFF0000, 0x00050001, 0x80000000  # DENY answers EPERM


def die_with_parent() -> None:
    """The kernel kills this process when its parent ends, however it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, 9, 0, 0, 0)


def limit(walls: Walls, taken: int) -> None:
    """Kernel limits of this process; ``taken`` bytes of address space are its own already."""
    limits = {
        resource.RLIMIT_CPU: walls.cpu,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: 16,
        resource.RLIMIT_AS: taken + walls.memory,
    }
    if sys.platform == "linux":
        limits[resource.RLIMIT_NPROC] = 0
    for which, wanted in limits.items():
        hard = resource.getrlimit(which)[1]
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(ValueError, OSError):  # macOS does not know all of them
            resource.setrlimit(which, (most, most))


def lock() -> bool:
    """Leaves only the system calls of decoding, for good; every other one answers "not permitted". False where the
    kernel or the machine cannot (not Linux, or an old kernel): the other walls stand all the same."""
    known = MACHINES.get(platform.machine())
    if sys.platform != "linux" or known is None:
        return False
    arch, calls = known
    program = [(LOAD, 0, 0, 4), (EQUAL, 1, 0, arch), (RETURN, 0, 0, KILL), (LOAD, 0, 0, 0)]
    for number in sorted(calls.values()):
        program += [(EQUAL, 0, 1, number), (RETURN, 0, 0, ALLOW)]
    program.append((RETURN, 0, 0, DENY))
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
    described = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
    libc = ctypes.CDLL(None)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    return bool(libc.prctl(PR_SET_SECCOMP, FILTER, described, 0, 0) == 0)


def address_space() -> int:
    """Bytes of address space that this process has now; 4 GiB where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 4 << 30
