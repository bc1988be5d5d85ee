"""``make demo``: from nothing to a served library. Every step keeps what it did, so a second run, or one after Ctrl-C,
goes on where the last one ended."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from matinee import __version__
from matinee.demo import samples
from matinee.demo.manifest import manifest, raw
from matinee.errors import MatineeError, language
from matinee.registry import Progress
from matinee.settings import Library, cache_folder

DONE = "demo.json"


@dataclass(frozen=True, slots=True)
class Teller:
    """How the demo talks: whole sentences, and the progress of what is fetched (bytes) and worked on (pieces)."""

    say: Callable[[str], None]
    fetching: Progress
    working: Progress


def demo(path: Path, host: str, port: int, teller: Teller) -> None:
    """Fetches, ingests, trains and serves the demo library at ``path`` until interrupted. Raises MatineeError."""
    require_port(host, port)  # before minutes of work, not after
    library = Library.create(path)
    mark = library.path / DONE
    print_ = _fingerprint()
    if _read(mark) == print_ and library.database.is_file():
        teller.say(_t(f"The demo library at {path} is ready.", f"演示库 {path} 已就绪。"))
    else:
        prepare(library, teller)
        mark.write_text(json.dumps({"made_by": print_}), encoding="utf-8")
    from matinee.serve.http import serve

    serve(library, host, port)


def prepare(library: Library, teller: Teller) -> None:
    """Everything before serving: weights, samples, catalogues, ingest, training."""
    from matinee.encoders import weights

    teller.say(_t("1/4 Fetching the encoders' weights ...", "1/4 下载编码器权重 ..."))
    weights.fetch(weights.DEFAULT, teller.fetching)
    teller.say(_t("2/4 Fetching the samples ...", "2/4 下载示例 ..."))
    catalogues = fetch_samples(library, teller)
    teller.say(_t("3/4 Watching and listening to them ...", "3/4 观看、聆听并理解内容 ..."))
    from matinee.ingest import ingest
    from matinee.store import open_store
    from matinee.train import train

    store = open_store(library.database)
    try:
        report = ingest(library, store, catalogues, teller.working)
        teller.say(report.say())
        teller.say(_t("4/4 Learning from the watch log ...", "4/4 从观看记录中学习 ..."))
        train(library, store, teller.working)
    finally:
        store.close()


def fetch_samples(library: Library, teller: Teller) -> list[Path]:
    """The catalogues of what could be fetched. Raises ``demo.nothing`` where nothing could."""
    plan, folder = manifest(), cache_folder() / "samples"

    def failed(pin: str, error: MatineeError) -> None:
        teller.say(_t(f"  skipped {pin}: {error.en}", f"  跳过 {pin}：{error.zh}"))

    got = samples.fetch(plan, folder, teller.fetching, failed)
    place = library.path / "catalogues"
    place.mkdir(exist_ok=True)
    clips, films, events = place / "clips.jsonl", place / "movies.jsonl", place / "events.csv"
    n_clips = samples.write_clips(plan.samples, got.files, clips, teller.working)
    n_films = samples.write_movies(got.files, films, events)
    if not n_clips and not n_films:
        first = got.failed[0][1]
        raise MatineeError("demo.nothing", first.en, first.zh, exit_code=1)
    teller.say(_t(f"  {n_clips} clips, {n_films} films", f"  {n_clips} 个片段，{n_films} 部电影"))
    return [*([clips] if n_clips else []), *([films, events] if n_films else [])]


def require_port(host: str, port: int) -> None:
    """Raises ``port.taken``, ``port.denied`` or ``host.unknown`` when the server could not listen there."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
            trial.listen(1)
    except socket.gaierror as error:
        raise MatineeError(
            "host.unknown", f"There is no address {host!r} on this machine.", f"本机没有地址 {host!r}。"
        ) from error
    except PermissionError as error:
        raise MatineeError(
            "port.denied",
            f"Port {port} needs more rights than you have. Choose one above 1023, such as: --port 8420",
            f"没有权限使用端口 {port}。请选择 1023 以上的端口，例如：--port 8420",
            exit_code=1,
        ) from error
    except OSError as error:
        raise MatineeError(
            "port.taken",
            f"Cannot listen at {host}:{port}: {error.strerror}. Another program, or another Matinee, may be there. "
            f"Stop it, or choose another port: make demo PORT={port + 1} (matinee demo --port {port + 1})",
            f"无法监听 {host}:{port}：{error.strerror}。可能已被其他程序或另一个 Matinee 占用。"
            f"请停止它，或换一个端口：make demo PORT={port + 1}（matinee demo --port {port + 1}）",
            exit_code=1,
        ) from error


def _fingerprint() -> str:
    return hashlib.sha256(raw() + __version__.encode()).hexdigest()


def _read(mark: Path) -> str:
    try:
        return str(json.loads(mark.read_text(encoding="utf-8"))["made_by"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _t(en: str, zh: str) -> str:
    return zh if language() == "zh" else en
