"""``make demo``: from nothing to a served library. Every step keeps what it did, so a second run, or one after Ctrl-C,
goes on where the last one ended."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from matinee import __version__
from matinee.demo import samples
from matinee.demo.manifest import manifest, raw
from matinee.errors import MatineeError, language
from matinee.protocols import Store
from matinee.registry import Progress
from matinee.settings import SETTINGS, Library, Settings, cache_folder

DONE = "demo.json"


@dataclass(frozen=True, slots=True)
class Teller:
    """How the demo talks: whole sentences, and the progress of what is fetched (bytes) and worked on (pieces)."""

    say: Callable[[str], None]
    fetching: Progress
    working: Progress


def prepared(path: Path, teller: Teller) -> Library:
    """The demo library at ``path``, made where it is not yet. Raises MatineeError."""
    require_own_store(path)
    library = Library.create(path)
    mark, made_by = library.path / DONE, _fingerprint()
    if _read(mark) == made_by and library.database.is_file():
        teller.say(_t(f"The demo library at {path} is ready.", f"演示库 {path} 已就绪。"))
        learn_again(library, teller)
    else:
        prepare(library, teller)
        mark.write_text(json.dumps({"made_by": made_by}), encoding="utf-8")
    return library


def serve_demo(library: Library, host: str, port: int, say: Callable[[str, str], None]) -> None:
    from matinee.serve.run import serve
    from matinee.store import open_store

    store = open_store(library.database)
    try:
        serve(library, store, host, port, say)
    finally:
        store.close()


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

    store = open_store(library.database)
    try:
        report = ingest(library, store, catalogues, teller.working)
        teller.say(report.say())
        teller.say(_t("4/4 Learning from the watch log ...", "4/4 从观看记录中学习 ..."))
        _learn(library, store, teller)
    finally:
        store.close()


def learn_again(library: Library, teller: Teller) -> None:
    """Trains where the release in force cannot be used: damaged, deleted, or of another version of Matinee."""
    from matinee.release import load_release
    from matinee.store import open_store

    store = open_store(library.database)
    try:
        current = store.release()
        try:
            load_release(library.releases / (current[0] if current else "none"))
        except MatineeError as error:
            teller.say(_t(f"{error.en} Learning again ...", f"{error.zh}正在重新学习 ..."))
            _learn(library, store, teller)
    finally:
        store.close()


def _learn(library: Library, store: Store, teller: Teller) -> None:
    from matinee.train import train

    train(library, store, progress=lambda _, share: teller.working(_t("learning", "学习"), int(share * 100), 100))


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
    viewers = place / "viewers.csv"
    n_viewers = samples.write_viewers(got.files, viewers) if n_films else 0
    teller.say(_t(f"  {n_clips} clips, {n_films} films", f"  {n_clips} 个片段，{n_films} 部电影"))
    told = ((clips, n_clips), (films, n_films), (events, n_films), (viewers, n_viewers))
    return [path for path, rows in told if rows]


def require_own_store(path: Path) -> None:
    """Raises ``demo.store`` where the library at ``path`` would keep its things elsewhere: nobody who names a store
    for all commands wants the demo's 1,775 items in it."""
    library = Library(path, _settings(path))
    if library.target != str(library.database):
        raise MatineeError(
            "demo.store",
            "The demo keeps everything in its own folder, but another store is named: unset MATINEE_STORE, and take "
            f"store = out of {path / SETTINGS} if it is there.",
            "演示库的数据都存放在自己的文件夹中，但当前指定了其他存储：请取消设置 MATINEE_STORE；"
            f"如果 {path / SETTINGS} 中有 store =，也请删除。",
        )


def _settings(path: Path) -> Settings:
    return Library.open(path).settings if (path / SETTINGS).is_file() else Settings()


def require_port(path: Path, host: str, port: int) -> None:
    """Raises ``serve.*`` errors when a server of the library at ``path`` could not listen there."""
    from matinee.serve.run import bind, keys_for

    keys_for(host, _settings(path).access)
    try:
        bind(host, port).close()
    except MatineeError as error:
        if error.code != "serve.port_taken":
            raise
        raise MatineeError(
            error.code,
            f"Port {port} is taken by another program, or by a Matinee that already runs. Stop it, or choose another "
            f"port: make demo PORT={port + 1}   (or: matinee demo --port {port + 1})",
            f"端口 {port} 已被其他程序或正在运行的 Matinee 占用。请停止它，或换一个端口："
            f"make demo PORT={port + 1}（或：matinee demo --port {port + 1}）",
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
