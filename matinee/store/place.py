"""Where a store's file lies and who serves it: not on a network disk, and by one server at a time."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from matinee.errors import MatineeError

logger = logging.getLogger(__name__)
MOUNTS = Path("/proc/self/mountinfo")
ALLOW = "MATINEE_ALLOW_NETWORK_DISK"
# Kinds of file system that other machines may write to: there SQLite's log, whose index is shared memory, breaks.
NETWORK = frozenset({
    "afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs", "gfs2",
    "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "smb3", "smbfs",
})  # fmt: skip


def file_system(folder: Path, mounts: Path = MOUNTS) -> str:
    """The kind of file system a folder lies on (``ext4``, ``nfs4`` ...), as Linux tells it; "" where nobody does."""
    try:
        device = os.stat(folder).st_dev
        lines = mounts.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    number = f"{os.major(device)}:{os.minor(device)}"
    found = [line.partition(" - ")[2].split(" ")[0] for line in lines if line.split(" ")[2:3] == [number]]
    return found[-1] if found else ""


def require_local(path: Path) -> None:
    """Raises ``store.network`` for a file on a network disk; with ``MATINEE_ALLOW_NETWORK_DISK=1`` only warns."""
    if (kind := file_system(path.parent)) not in NETWORK:
        return
    if os.environ.get(ALLOW) == "1":
        logger.warning("%s lies on a network disk (%s): one machine alone may open it", path, kind)
        return
    raise MatineeError(
        "store.network",
        f"{path} lies on a network disk ({kind}), where SQLite can lose data as soon as two machines open it. Put the"
        f" library on a local disk or use PostgreSQL. If this machine alone will ever open it: export {ALLOW}=1",
        f"{path} 位于网络磁盘（{kind}）上，两台机器同时打开时 SQLite 可能丢失数据。"
        "请把库放在本地磁盘，或使用 PostgreSQL。"
        f"如果始终只有本机打开它：export {ALLOW}=1",
        exit_code=1,
    )


def running(process: int) -> bool:
    """Whether another process of that number runs."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return process != os.getpid()


def sweep_parts(folder: Path) -> None:
    """Removes what killed processes left half written there (``.name.PROCESS.part``)."""
    for left in folder.glob(".*.part"):
        owner = re.search(r"\.(\d+)\.part$", left.name)
        if owner and not running(int(owner[1])):
            shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)


@contextmanager
def only_server(database: Path) -> Iterator[None]:
    """Holds the right to serve a store; other processes may still ingest into it, train on it and read it.

    The operating system frees the lock with its holder, however that ends, so a stale one needs no care. Raises
    ``store.served`` with the holder's process number.
    """
    name = database.with_name(f"{database.name}.server")
    try:
        lock = os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise MatineeError(
            "store.unopenable",
            f"Cannot make {name}: {error.strerror}. To serve a library that cannot be written: matinee serve"
            " --read-only",
            f"无法创建 {name}：{error.strerror}。要以只读方式提供服务：matinee serve --read-only",
            status=503,
            exit_code=1,
        ) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise _served(database, os.read(lock, 20).decode("ascii", "replace").strip()) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, b"%d\n" % os.getpid(), 0)
        yield
        os.ftruncate(lock, 0)
    finally:
        os.close(lock)


def _served(database: Path, holder: str) -> MatineeError:
    return MatineeError(
        "store.served",
        f"{database} is served already, by process {holder or '?'}. Stop that one, or serve this one for reading:"
        " matinee serve --read-only --port 8421",
        f"{database} 已由进程 {holder or '?'} 提供服务。请停止该进程，或以只读方式再提供一份服务："
        "matinee serve --read-only --port 8421",
        status=503,
        exit_code=1,
    )
