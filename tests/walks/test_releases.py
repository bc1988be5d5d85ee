"""Releases while serving: several processes at one address, a swap that drops nothing, health, the gate, going back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import pytest

from matinee.errors import MatineeError
from matinee.models.linear import item_weights
from matinee.release import Release, load_release, save_release
from matinee.serve.releases import rolled_back, use
from matinee.settings import Library
from matinee.store import open_store
from matinee.train import train
from matinee.types import Event
from tests.walks.serving import address, serving
from tests.walks.test_serve import fill


def silent(library: Library, digest: str) -> None:
    """A release that is whole and knows no item: what a training gone wrong may leave."""
    n = 60
    model = item_weights("ease", np.zeros((n, n), np.float32), np.zeros(n, np.bool_), 1.0)
    save_release(library.releases / digest, Release(digest, {"ease": model}, {"ease": 1.0}, n, {"events": 1}))


def until_release(server, digest: str, seconds: float = 20) -> None:
    end = time.time() + seconds
    while server.get("users/u1/recommendations")["release"] != digest:
        assert time.time() < end, server.get("users/u1/recommendations")["release"]
        time.sleep(0.05)


def test_a_swap_drops_no_request_and_a_sick_release_is_rolled_back(tmp_path: Path) -> None:
    fill(tmp_path)
    library = Library.open(tmp_path)
    store = open_store(library.database)
    first = train(library, store)
    statuses: list[int] = []
    stop = threading.Event()

    def ask(url: str) -> None:
        with httpx.Client(base_url=url, timeout=30) as client:
            while not stop.is_set():
                statuses.append(client.get("/api/v1/users/u1/recommendations").status_code)

    with serving(tmp_path) as server:
        until_release(server, first)
        asking = [threading.Thread(target=ask, args=(server.url,)) for _ in range(3)]
        for thread in asking:
            thread.start()
        store.append([Event(id=f"late{k}", user=f"u{k}", item="i45", kind="like", at=time.time()) for k in range(9)])
        second = train(library, store)
        until_release(server, second)
        silent(library, "51c4")
        store.put_release("51c4", {})
        store.use_release("51c4")
        end = time.time() + 20
        while store.release()[0] != second:  # the server puts the last good one back by itself
            assert time.time() < end
            time.sleep(0.05)
        until_release(server, second)
        assert rolled_back(library.releases, store) == first
        until_release(server, first)
        assert use(library.releases, store, second[:6]) == second
        until_release(server, second)
        stop.set()
        for thread in asking:
            thread.join()
    assert len(statuses) > 20
    assert set(statuses) == {200}
    with pytest.raises(MatineeError, match="no release"):
        use(library.releases, store, "no such")
    store.close()


def test_the_gate_keeps_a_worse_release_beside(tmp_path: Path) -> None:
    fill(tmp_path)
    library = Library.open(tmp_path)
    store = open_store(library.database)
    at = time.time() - 80_000
    # everybody goes round in a circle, so what comes next is known
    store.append([
        Event(id=f"c{u}-{k}", user=f"c{u}", item=f"i{(u + k) % 30}", kind="finish", at=at + 100 * k + u)
        for u in range(40) for k in range(25)
    ])  # fmt: skip
    good = train(library, store)
    (tmp_path / "matinee.toml").write_text('[training]\nrecipes = ["random"]\n')
    poor = Library.open(tmp_path)
    with pytest.raises(MatineeError) as refused:
        train(poor, store)
    assert refused.value.code == "release.worse"
    assert store.release()[0] == good
    (kept,) = [(digest, told) for digest, told in store.releases() if digest != good]
    assert kept[1]["gate"]["passed"] is False
    assert kept[1]["gate"]["new"] < kept[1]["gate"]["old"]
    assert load_release(library.releases / kept[0]).digest == kept[0]  # whole, and may be put in force by hand
    (tmp_path / "matinee.toml").write_text('[training]\nrecipes = ["random"]\ngate = 1.0\n')
    assert train(Library.open(tmp_path), store) == kept[0]  # without the gate it is promoted: the gate held it back
    store.close()


def command(folder: Path, *arguments: str, lang: str = "en") -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "matinee", *arguments, "--library", str(folder)],
        capture_output=True, text=True, timeout=60, env={**os.environ, "MATINEE_LANG": lang}, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_the_command_lists_uses_and_goes_back(tmp_path: Path) -> None:
    fill(tmp_path)
    assert "matinee train" in command(tmp_path, "releases")[1]
    library = Library.open(tmp_path)
    store = open_store(library.database)
    first = train(library, store)
    assert command(tmp_path, "releases", "rollback")[0] == 2  # nothing was before
    store.append([Event(id="one more", user="u1", item="i45", kind="like", at=time.time())])
    second = train(library, store)
    told = command(tmp_path, "releases")[1]
    assert [line.split()[0] for line in told.splitlines()] == [first, second]
    assert "in force" in told.splitlines()[1]
    assert command(tmp_path, "releases", "rollback")[1].startswith(first)
    assert store.release()[0] == first
    code, told = command(tmp_path, "releases", "use", second[:5], lang="zh")
    assert (code, store.release()[0]) == (0, second)
    assert "已启用" in told
    assert command(tmp_path, "releases", "use", "0000")[0] == 2
    store.close()


def test_a_server_trains_on_schedule(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "matinee.toml").write_text("[training]\nschedule_hours = 0.0003\n")
    with serving(tmp_path) as server:
        end = time.time() + 60
        while not server.get("health")["release"]:
            assert time.time() < end
            time.sleep(0.2)
        assert server.stop() == 0


def test_workers_share_an_address_and_one_that_dies_is_replaced(tmp_path: Path) -> None:
    fill(tmp_path)
    environ = {**os.environ, "MATINEE_CACHE": str(tmp_path / "none"), "OMP_NUM_THREADS": "1", "MATINEE_LANG": "en"}
    process = subprocess.Popen(
        [sys.executable, "-m", "matinee", "serve", "--workers", "2", "--port", "0", "--library", str(tmp_path)],
        stderr=subprocess.PIPE, text=True, env=environ,
    )  # fmt: skip
    try:
        url = address(process)
        children = lambda: {  # noqa: E731
            int(p) for p in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        }
        before = children()
        assert len(before) == 2

        def ask() -> int:
            with httpx.Client(base_url=url, timeout=20) as client:  # a connection of its own
                return client.get("/api/v1/users/u1/recommendations").status_code

        assert {ask() for _ in range(20)} == {200}
        event = {"id": "w1", "user": "worker user", "item": "i3", "kind": "dislike"}
        assert httpx.post(f"{url}/api/v1/events", json=event).status_code == 202
        for _ in range(8):  # whichever worker answers has read the write
            answer = httpx.get(f"{url}/api/v1/users/worker%20user/recommendations?n=200").json()
            assert "i3" not in [item["item"] for item in answer["items"]]
        os.kill(min(before), signal.SIGKILL)
        end = time.time() + 30
        while len(children()) < 2 or min(before) in children():
            assert time.time() < end
            time.sleep(0.1)
        for _ in range(10):
            assert ask() == 200
        time.sleep(1.1)
        assert ask() == 200
        assert "matinee_requests_total" in httpx.get(f"{url}/metrics").text
        after = children()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        for child in after:
            assert not Path(f"/proc/{child}").exists()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if process.stderr:
            process.stderr.close()


def test_workers_end_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    fill(tmp_path)
    environ = {**os.environ, "MATINEE_CACHE": str(tmp_path / "none"), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "matinee", "serve", "--workers", "2", "--port", "0", "--library", str(tmp_path)],
        stderr=subprocess.PIPE, text=True, env=environ,
    ) as process:  # fmt: skip
        address(process)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.kill()
        process.wait()
        end = time.time() + 30
        while any(Path(f"/proc/{child}").exists() for child in children):
            assert time.time() < end
            time.sleep(0.1)


@pytest.mark.parametrize("seconds", [0.1, 0.0])
def test_neighbours_follow_what_is_watched_between_trainings(tmp_path: Path, seconds: float) -> None:
    fill(tmp_path)
    (tmp_path / "matinee.toml").write_text(f"[serving]\nfold_seconds = {seconds}\n")
    library = Library.open(tmp_path)
    store = open_store(library.database)
    digest = train(library, store)
    with serving(tmp_path) as server:
        until_release(server, digest)

        def neighbours() -> list[str]:
            return [hit["item"] for hit in server.get("items/i50/similar", by="behaviour", n=5)["items"]]

        assert "i41" not in neighbours()
        server.put("brand new", title="Brand new")
        for u in range(6):  # nobody had watched these three before
            for item in ("i50", "i41", "brand new"):
                server.post({"id": f"{item}-{u}", "user": f"f{u}", "item": item, "kind": "like"})
        end = time.time() + (20 if seconds else 2)
        while time.time() < end and "i41" not in neighbours():
            time.sleep(0.1)
        told = neighbours()
        assert ("i41" in told) == bool(seconds)
        assert ("brand new" in told) == bool(seconds)
        assert server.get("health")["release"] == digest  # without a training
        assert server.slate("u1", n=10)
    store.close()
