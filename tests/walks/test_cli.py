"""The command line as a real process over a small library: answers, exit codes, both languages, one clear line."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from matinee.settings import Library
from matinee.store import open_store
from matinee.types import Event, Item
from tests.walks.serving import address, worked

COMMANDS = (
    "init", "ingest", "train", "recommend", "similar", "search", "show", "serve", "demo", "weights", "export", "backup",
    "restore", "check", "erase",
)  # fmt: skip


def environment(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MATINEE_", "LC_")) and k != "LANG"}
    return kept | {"LANG": "C.UTF-8", "OMP_NUM_THREADS": "1"} | more


def matinee(*arguments: str | Path, lang: str = "en", cwd: Path | None = None, **env: str):
    return subprocess.run(
        [sys.executable, "-m", "matinee", *map(str, arguments)],
        capture_output=True, text=True, timeout=60, cwd=cwd, env=environment(MATINEE_LANG=lang, **env), check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "library"
    opened = Library.create(path)
    store = open_store(opened.database)
    titles = ("Cats at play", "Dogs at play", "Cars in the rain", "A \x1b[31mred\u202e title", "海边的日落")
    store.put_items([
        Item(id=f"item/{n}", title=title, categories=("pets",) if n < 2 else ("other",), collection="clips")
        for n, title in enumerate(titles)
    ])  # fmt: skip
    store.append([
        Event(id=f"e{user}-{n}", user=f"user {user}", item=f"item/{n}", kind="play", at=1000.0 + 10 * user + n)
        for user in range(8) for n in range(user % 3, 4)
    ])  # fmt: skip
    store.close()
    return path


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return str(tmp_path_factory.mktemp("no-weights"))


def test_help_teaches_and_is_quick():
    took = []
    for _ in range(5):
        started = worked()
        told = matinee("--help")
        took.append(worked() - started)
    assert told.returncode == 0
    assert all(re.search(rf"^  {command}\b", told.stdout, re.M) for command in COMMANDS)
    assert min(took) < 0.6  # 0.1 s of processor on a quiet machine; the clock tells what else runs there


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_command_has_help_with_an_example(command, lang):
    told = matinee(command, "--help", lang=lang)
    assert told.returncode == 0
    assert f"  matinee {command}" in told.stdout
    assert bool(re.search(r"[\u4e00-\u9fff]", told.stdout.replace("夜晚的城市", ""))) == (lang == "zh")


def test_help_imports_nothing_heavy():
    code = "import sys; from matinee.cli.app import run; run(['--help']); print(*sys.modules, file=sys.stderr)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True)
    assert not {"numpy", "scipy", "polars", "av", "onnxruntime", "litestar", "rich.progress"} & set(told.stderr.split())


def test_version():
    from matinee import __version__

    assert matinee("--version").stdout == f"matinee {__version__}\n"


def test_init_makes_a_library_and_leaves_an_existing_one(tmp_path):
    assert matinee("init", "films", cwd=tmp_path).returncode == 0
    (tmp_path / "films" / "matinee.toml").write_text('name = "mine"\n')
    assert json.loads(matinee("init", "films", "--json", cwd=tmp_path).stdout) == {"library": "films"}
    assert (tmp_path / "films" / "matinee.toml").read_text() == 'name = "mine"\n'


def test_commands_use_the_library_of_the_current_folder(library, cache):
    told = matinee("show", "item/0", cwd=library, MATINEE_CACHE=cache)
    assert "Cats at play" in told.stdout


def test_train_recommend_similar_show_search(library, cache):
    trained = json.loads(matinee("train", "-L", library, "--json").stdout)
    assert re.fullmatch(r"[0-9a-f]{16}", trained["release"])
    slate = json.loads(matinee("recommend", "--user", "user 2", "-n", 3, "-L", library, "--json").stdout)
    assert slate["release"] == trained["release"]
    assert {i["item"] for i in slate["items"]} <= {"item/0", "item/1", "item/4"}  # the rest was watched
    assert all(i["reasons"] for i in slate["items"])
    pets = json.loads(matinee("recommend", "-u", "nobody", "--category", "pets", "-L", library, "--json").stdout)
    assert sorted(i["item"] for i in pets["items"]) == ["item/0", "item/1"]
    like = json.loads(matinee("similar", "item/2", "--by", "behaviour", "-L", library, "--json").stdout)
    assert "item/3" in [i["item"] for i in like["items"]]
    found = matinee("search", "rain", "-L", library, "--json", MATINEE_CACHE=cache)
    assert json.loads(found.stdout)["items"][0]["item"] == "item/2"
    assert "matinee weights fetch text" in found.stderr
    assert json.loads(matinee("show", "item/4", "-L", library, "--json").stdout)["title"] == "海边的日落"


def test_reasons_are_told_in_the_language_asked_for(library):
    for lang, chinese in (("en", False), ("zh", True)):
        told = matinee("recommend", "-u", "user 0", "-L", library, "-n", 1, lang=lang).stdout.splitlines()[1]
        assert bool(re.search(r"[\u4e00-\u9fff]", told.replace("海边的日落", ""))) == chinese


def test_lang_option_goes_over_the_environment(library):
    assert "没有条目" in matinee("--lang", "zh", "show", "nothing", "-L", library, lang="en").stderr


def test_a_title_cannot_command_the_terminal(library):
    assert matinee("train", "-L", library).returncode == 0  # so that there is behaviour to be alike by
    for arguments in (("show", "item/3"), ("recommend", "-u", "new"), ("similar", "item/2", "--by", "behaviour")):
        told = matinee(*arguments, "-L", library)
        assert told.returncode == 0
        assert "red" in told.stdout
        assert not set(told.stdout) & {"\x1b", "\u202e"}


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("show", "nothing", "-L", "LIB"), 2, "nothing"),
        (("similar", "item/0", "--by", "smell", "-L", "LIB"), 2, "smell"),
        (("recommend", "-L", "LIB"), 2, "--user"),
        (("recommend", "-u", "x", "-n", "0", "-L", "LIB"), 2, "-n"),
        (("train", "-L", "nowhere"), 2, "matinee init nowhere"),
        (("--lang", "fr", "train"), 2, "fr"),
        (("weights", "fetch", "telepathy"), 2, "telepathy"),
        (("weights", "verify", "text"), 1, "matinee weights fetch text"),
        (("weights", "fetch", "text"), 1, "PIP_INDEX_URL"),
        (("serve", "--host", "::", "-L", "LIB"), 2, "MATINEE_KEY"),
        (("nonsense",), 2, "nonsense"),
    ],
)
def test_failures_are_one_clear_line_and_an_exit_code(library, cache, tmp_path, arguments, code, says):
    there = [str(library) if a == "LIB" else a for a in arguments]
    away = {"PIP_CONFIG_FILE": "/dev/null", "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_FIND_LINKS": ""}
    told = matinee(*there, cwd=tmp_path, MATINEE_CACHE=cache, **away)
    assert told.returncode == code, told.stderr
    assert says in told.stderr
    assert "Traceback" not in told.stderr
    if "Usage" not in told.stderr:  # a wrong command is followed by how it is used
        assert told.stderr.count("\n") <= 2


def test_an_unknown_setting_is_told_with_its_file(tmp_path):
    matinee("init", tmp_path / "x")
    (tmp_path / "x" / "matinee.toml").write_text("colour = 1\n")
    told = matinee("train", "-L", tmp_path / "x")
    assert told.returncode == 2
    assert "colour" in told.stderr


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGTERM])
def test_serve_answers_and_stops_with_one_line(library, cache, blow):
    port = free_port()
    child = subprocess.Popen(
        [sys.executable, "-m", "matinee", "serve", "-p", str(port), "-L", str(library)],
        stderr=subprocess.PIPE, text=True, env=environment(MATINEE_LANG="en", MATINEE_CACHE=cache),
    )  # fmt: skip
    try:
        assert address(child) == f"http://127.0.0.1:{port}"
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/health", timeout=20) as answer:
            assert json.load(answer)["items"] == 5
        taken = matinee("serve", "-p", port, "-L", library)
        assert taken.returncode == 1
        assert str(port + 1) in taken.stderr
        child.send_signal(blow)
        _, rest = child.communicate(timeout=20)
    finally:
        child.kill()
    assert child.returncode == 0
    assert rest.strip().splitlines()[-1] == "Stopped."
    assert "Traceback" not in rest


def test_an_interrupted_command_leaves_with_130(tmp_path):
    import fcntl

    folder = tmp_path / "weights" / "text"
    folder.mkdir(parents=True)
    with (folder / ".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # so that the command waits
        child = subprocess.Popen(
            [sys.executable, "-m", "matinee", "weights", "fetch", "text"],
            stderr=subprocess.PIPE, text=True, env=environment(MATINEE_LANG="en", MATINEE_CACHE=str(tmp_path)),
        )  # fmt: skip
        time.sleep(1.5)
        child.send_signal(signal.SIGINT)
        _, told = child.communicate(timeout=20)
    assert child.returncode == 130
    assert told.count("\n") == 1


def test_a_closed_pipe_is_no_error(library):
    first = f"{sys.executable} -m matinee weights list --json | head -c 1"
    told = subprocess.run(["bash", "-c", first], capture_output=True, text=True, env=environment(), check=False)
    assert told.stderr == ""
