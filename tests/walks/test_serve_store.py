"""The store under a real server: one server at a time, reading beside it, strangers by setting, sessions that become
users, and what happens when the disk is full, fails, or is read-only, or there are no more files to open."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from matinee.settings import Library
from matinee.store import open_store
from matinee.types import Event, Item
from tests.walks.serving import Server, address, quoted, serving


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    library = Library.create(tmp_path / "library")
    store = open_store(library.database)
    store.put_items([Item(id=f"i{n}", title=f"title {n}") for n in range(12)])
    store.append([Event(id=f"e{n}", user=f"u{n % 3}", kind="play", at=float(n), item=f"i{n % 12}") for n in range(30)])
    store.close()
    return library.path


def event(id: str, user: str = "u0", item: str = "i1", **more: object) -> dict[str, object]:
    return {"id": id, "user": user, "item": item, "kind": "play", **more}


def events_of(server: Server, user: str) -> list[str]:
    return [one["id"] for one in server.get(f"users/{quoted(user)}/export")["events"]]


# one server at a time


def serve(*arguments: object) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "OMP_NUM_THREADS": "1", "MATINEE_LANG": "en"}
    command = [sys.executable, "-m", "matinee", "serve", "--port", "0", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=env, check=False)


def test_a_second_server_is_refused_with_the_holders_number(folder: Path) -> None:
    with serving(folder) as first:
        second = serve("-L", folder)
        assert second.returncode == 1
        assert f"process {first.process.pid}" in second.stderr
        assert "--read-only" in second.stderr
        assert first.post(event("still"))["accepted"] == 1
        first.kill()  # leaves its lock behind, stale
        with serving(folder) as third:
            assert (folder / "matinee.db.server").read_text().strip() == str(third.process.pid)
            assert third.post(event("again"), event("still")) | {"rejected": []} == {
                "accepted": 1, "duplicates": 1, "rejected": [],
            }  # fmt: skip


def test_reading_beside_a_server_sees_what_it_writes_and_writes_nothing(folder: Path) -> None:
    with serving(folder) as first:
        command = [sys.executable, "-m", "matinee", "serve", "--port", "0", "--read-only", "-L", str(folder)]
        env = {**os.environ, "OMP_NUM_THREADS": "1", "MATINEE_LANG": "en", "MATINEE_CACHE": str(folder / "no-cache")}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
        second = Server(process, address(process))
        try:
            first.post(event("seen by both", "new"))
            assert events_of(second, "new") == ["seen by both"]
            answer = second.client.post("/api/v1/events", json=event("no"))
            assert (answer.status_code, answer.json()["code"]) == (503, "store.readonly")
            assert second.client.delete("/api/v1/users/new?confirm=new").status_code == 503
            assert events_of(first, "new") == ["seen by both"]
        finally:
            second.client.close()
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=20)
        assert process.returncode == 0


def test_others_write_while_one_serves(folder: Path, tmp_path: Path) -> None:
    (folder / "matinee.toml").write_text("encoders = []\n")
    (tmp_path / "items.jsonl").write_text('{"id": "later", "title": "t"}\n')
    with serving(folder) as server:
        done = subprocess.run(
            [sys.executable, "-m", "matinee", "ingest", str(tmp_path / "items.jsonl"), "-L", str(folder)],
            capture_output=True, text=True, timeout=120, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        for _ in range(100):  # noticed by the requests, perhaps beside them
            if (answer := server.client.get("/api/v1/items/later")).status_code == 200:
                break
            time.sleep(0.1)
        assert answer.json()["title"] == "t"
        assert server.post(event("on it", item="later"))["accepted"] == 1


# strangers and sessions


def test_strangers_by_setting(folder: Path) -> None:
    (folder / "matinee.toml").write_text('[feedback]\nunknown_items = "keep"\nunknown_users = "refuse"\n')
    with serving(folder) as server:
        told = server.post(event("1", item="later"), event("2", user="nobody"), event("3"))
        assert told["accepted"] == 2
        assert [(one["index"], one["error"]) for one in told["rejected"]] == [(1, "event.unknown_user")]
        assert "no such user" in told["rejected"][0]["message"]
        assert server.client.get("/api/v1/items/later").status_code == 404
        server.put("later", title="it came")
        assert "later" in [one["item"] for one in server.get("users/u0/export")["events"]]
        assert "later" not in server.slate("u0", n=50)  # it counts as seen


def people(server: Server) -> dict[str, int]:
    return {one["user"]: one["events"] for one in server.get("users", n=50)["users"]}


def test_a_session_becomes_a_user(folder: Path) -> None:
    with serving(folder) as server:
        server.post(event("s1", "session 7", "i3"), event("s2", "session 7", "i4", kind="hide"))
        assert "i4" in server.slate("new user", n=50)
        assert people(server) == {"u0": 10, "u1": 10, "u2": 10, "session 7": 2}
        for merged in (True, False):
            answer = server.client.post("/api/v1/users/new%20user/merge", json={"session": "session 7"})
            assert (answer.status_code, answer.json()["merged"]) == (200, merged)
        assert set(events_of(server, "new user")) == {"s1", "s2"}
        assert people(server) == {"u0": 10, "u1": 10, "u2": 10, "new user": 2}
        assert "i4" not in server.slate("new user", n=50)
        server.post(event("late", "session 7", "i5"))
        assert "late" in events_of(server, "new user")
        assert people(server)["new user"] == 3
        answer = server.client.post("/api/v1/users/u1/merge", json={"session": "session 7"})
        assert (answer.status_code, answer.json()["code"]) == (409, "merge.elsewhere")
        assert "new user" not in answer.text
        server.kill()
    with serving(folder) as server:
        assert set(events_of(server, "session 7")) == {"s1", "s2", "late"}
        assert server.client.delete("/api/v1/users/session%207?confirm=session%207").json()["erased"]
        assert server.client.get("/api/v1/users/new%20user/export").status_code == 404


# the disk and the machine


def mounted(folder: Path, options: str) -> None:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount a small tmpfs here (needs root and the right to mount)")


def test_a_full_disk_answers_507_and_mends_itself(folder: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted(disk, "size=3m")
    try:
        for file in folder.iterdir():
            shutil.copy(file, disk)
        with serving(disk) as server:
            accepted, statuses = 30, []
            for n in range(400):
                batch = [event(f"{n}.{k}", text="x" * 900) for k in range(20)]
                answer = server.client.post("/api/v1/events", json=batch)
                statuses.append(answer.status_code)
                if answer.status_code != 202:
                    break
                accepted += answer.json()["accepted"]
            assert (answer.status_code, answer.json()["code"]) == (507, "store.full")
            assert server.get("health")["events"] == accepted
            assert len(server.slate("u1", n=5)) == 5  # reading goes on
            subprocess.run(["mount", "-o", "remount,size=12m", str(disk)], check=True)
            assert server.post(event("again"))["accepted"] == 1  # without a restart
            server.kill()
        with serving(disk) as server:
            assert server.get("health")["events"] == accepted + 1
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_read_only_disk_is_served_for_reading(folder: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted(disk, "size=8m")
    try:
        for file in folder.iterdir():
            shutil.copy(file, disk)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with serving(disk) as server:
            assert len(server.slate("u1", n=5)) == 5
            answer = server.client.post("/api/v1/events", json=event("no"))
            assert (answer.status_code, answer.json()["code"]) == (503, "store.readonly")
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


FAILING_SYNC = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <unistd.h>
static int failing(void) { return access("FLAG", F_OK) == 0; }
int fsync(int fd) { if (failing()) { errno = EIO; return -1; } return ((int (*)(int)) dlsym(RTLD_NEXT, "fsync"))(fd); }
int fdatasync(int fd) {
  if (failing()) { errno = EIO; return -1; }
  return ((int (*)(int)) dlsym(RTLD_NEXT, "fdatasync"))(fd);
}
"""


def test_after_a_failed_sync_the_server_acknowledges_nothing_more(folder: Path, tmp_path: Path) -> None:
    """The disk fails one sync and works again: a second try would succeed, though the first pages may be lost."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler to make a failing fsync with")
    flag = tmp_path / "failing"
    (tmp_path / "sync.c").write_text(FAILING_SYNC.replace("FLAG", str(flag)))
    library = tmp_path / "sync.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, tmp_path / "sync.c", "-ldl"], check=True)
    with serving(folder, LD_PRELOAD=str(library)) as server:
        assert server.post(event("before"))["accepted"] == 1
        flag.touch()
        answer = server.client.post("/api/v1/events", json=event("lost"))
        assert (answer.status_code, answer.json()["code"]) == (500, "store.io")
        flag.unlink()
        for name in ("lost", "later"):  # no retry is acknowledged
            answer = server.client.post("/api/v1/events", json=event(name))
            assert (answer.status_code, answer.json()["code"]) == (500, "store.io")
        assert len(server.slate("u1", n=5)) == 5
        assert server.stop() == 0
    with serving(folder) as server:
        assert server.post(event("before"), event("later"))["duplicates"] == 1


def test_no_more_files_to_open_is_survived(folder: Path) -> None:
    """Connections beyond the limit wait; those that are there are answered, and afterwards all is well."""
    import socket

    with serving(folder) as server:
        server.post(event("first"))
        held = len(os.listdir(f"/proc/{server.process.pid}/fd"))
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (held + 6, held + 6))
        address = ("127.0.0.1", int(server.url.rsplit(":", 1)[1]))
        many = [socket.create_connection(address) for _ in range(40)]
        time.sleep(0.3)
        answer = server.client.post("/api/v1/events", json=event("second"))  # on a connection that is open already
        assert answer.status_code in (202, 503)
        assert answer.status_code == 202 or answer.json()["code"] == "store.unopenable"
        for one in many:
            one.close()
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (held + 6, held + 6))
        for _ in range(50):
            answer = server.client.post("/api/v1/events", json=event("third"))
            if answer.status_code == 202:
                break
            time.sleep(0.1)
        assert answer.status_code == 202
        assert set(events_of(server, "u0")) >= {"first", "third"}
        assert server.process.poll() is None


def test_a_clock_that_jumps_loses_and_hides_nothing(folder: Path) -> None:
    """Order is by sequence number where clocks lie: a year ahead, then back, then right again."""
    if not shutil.which("faketime"):
        store = open_store(folder)
        year = 365 * 86400.0
        now = time.time()
        for n, at in enumerate((now + year, now - year, now)):
            store.append([Event(id=f"jump{n}", user="j", kind="play", at=at, item=f"i{n}")])
        assert [e.id for _, e in store.events_after(None, 3)] == ["jump0", "jump1", "jump2"]
        store.close()
    with serving(folder) as server:
        server.post(event("now", "j", "i5"))
        slate = server.slate("j", n=50)
        assert slate
        assert not {"i0", "i1", "i2", "i5"} & set(slate)  # all seen, whatever their clocks said


def test_start_on_a_network_disk_is_refused(folder: Path) -> None:
    code = (
        "import sys, os; from pathlib import Path; from matinee.store import place, open_store\n"
        "device = os.stat(sys.argv[1]).st_dev\n"
        "planted = Path(sys.argv[1]) / 'mounts'\n"
        "planted.write_text(f'1 2 {os.major(device)}:{os.minor(device)} / / rw - nfs4 host:/x rw\\n')\n"
        "place.file_system.__defaults__ = (planted,)\n"
        "from matinee.errors import MatineeError\n"
        "try: open_store(sys.argv[1])\n"
        "except MatineeError as error: print(error.code, error.say('en'))\n"
        "else: print('opened')\n"
    )
    for allowed, told in (("", "store.network"), ("1", "opened")):
        env = {**os.environ, "MATINEE_ALLOW_NETWORK_DISK": allowed}
        said = subprocess.run(
            [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, env=env, check=True
        )
        assert said.stdout.startswith(told)
        assert allowed or "nfs4" in said.stdout
