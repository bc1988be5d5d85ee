"""``matinee export``: what a library knows, as files that other programs read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from matinee.cli.options import HERE, At, Json, opened
from matinee.cli.words import emit, say, t
from matinee.errors import MatineeError

if TYPE_CHECKING:
    from matinee.protocols import Store
    from matinee.types import Event

Out = Annotated[Path, typer.Argument(metavar="FILE", help=t("Where to write.", "写到哪里。"))]


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(
        rich_markup_mode=None,
        no_args_is_help=True,
        help=t(
            """Write items, events or vectors to a file. Items and events are catalogues that ``ingest`` reads again.

            \b
            Examples:
              matinee export items items.jsonl
              matinee export events events.jsonl
              matinee export events events.parquet
              matinee export vectors text.npz --space text
              matinee export vectors shots.npz --space frames.shots
            """,
            """把条目、事件或向量写入文件。条目和事件是 ``ingest`` 可以重新导入的目录。

            \b
            例：
              matinee export items items.jsonl
              matinee export events events.jsonl
              matinee export events events.parquet
              matinee export vectors text.npz --space text
              matinee export vectors shots.npz --space frames.shots
            """,
        ),
    )
    group.command(help=t("Items as JSONL.", "条目（JSONL）。"))(items)
    group.command(
        help=t(
            "Events in the order they arrived, as JSONL, or as Parquet where FILE ends so.",
            "事件，按到达顺序：JSONL；文件名以 .parquet 结尾时为 Parquet。",
        )
    )(events)
    group.command(
        help=t(
            "Vectors of a space as NumPy's npz: ids (n,) text, vectors (n, dim) float32, unit rows. Of frames.shots "
            "the sequences: vectors (n, shots, dim), at (n, shots) seconds; NaN behind the last shot.",
            "某个空间的向量（npz）：ids (n,) 文本，vectors (n, dim) float32，单位长度。frames.shots 为镜头序列："
            "vectors (n, 镜头, dim)，at (n, 镜头) 秒；末尾以 NaN 补齐。",
        )
    )(vectors)
    app.add_typer(group, name="export")


def items(file: Out, at: At = HERE, as_json: Json = False) -> None:
    import msgspec

    def write(store: Store, out: IO[bytes]) -> int:
        n = 0
        for _, item in store.items():
            out.write(msgspec.json.encode(item) + b"\n")
            n += 1
        return n

    _written(file, at, as_json, write)


def events(file: Out, at: At = HERE, as_json: Json = False) -> None:
    import msgspec

    def lines(store: Store, out: IO[bytes]) -> int:
        n = 0
        for batch in _batches(store):
            out.writelines(msgspec.json.encode(event) + b"\n" for event in batch)
            n += len(batch)
        return n

    def table(store: Store, out: IO[bytes]) -> int:
        import polars as pl

        from matinee.types import Event

        texts = ("id", "user", "kind", "item", "text", "session", "slate")
        schema = {name: pl.String if name in texts else pl.Float64 for name in Event.__struct_fields__}
        parts = [
            pl.DataFrame({name: [getattr(one, name) for one in batch] for name in schema}, schema=schema)
            for batch in _batches(store)
        ]
        whole = pl.concat(parts) if parts else pl.DataFrame(schema=schema)
        whole.write_parquet(out, compression="zstd")
        return len(whole)

    _written(file, at, as_json, table if file.suffix == ".parquet" else lines)


def _batches(store: Store) -> Iterator[list[Event]]:
    """All events in the order in which they arrived, 50,000 at a time."""
    after = 0
    while found := store.events_after(after, 50_000):
        yield [event for _, event in found]
        after = found[-1][0]


def vectors(
    file: Out,
    space: Annotated[
        str, typer.Option("--space", help=t("Such as text, frames, sound.", "例如 text、frames、sound。"))
    ],
    at: At = HERE,
    as_json: Json = False,
) -> None:
    import numpy as np

    def write(store: Store, out: IO[bytes]) -> int:
        if space == SEQUENCES:
            return write_sequences(store, out)
        known = {one.name: one for one in store.spaces()}
        if space not in known:
            names = ", ".join(sorted(known)) or "-"
            raise MatineeError(
                "space.unknown", f"There is no space {space!r}; there are: {names}", f"没有空间“{space}”；现有：{names}"
            )
        rows, found = store.vectors(known[space])
        ids = {row: item.id for row, item in store.items()}
        np.savez(out, ids=np.array([ids[row] for row in rows.tolist()], np.str_), vectors=found)
        return len(rows)

    _written(file, at, as_json, write)


SEQUENCES = "frames.shots"


def write_sequences(store: Store, out: IO[bytes]) -> int:
    """The vectors of each item's shots in order: vectors (n, most, dim) float32 with NaN rows behind the last shot, at
    (n, most) seconds at which they begin."""
    import numpy as np

    from matinee.encoders.pool import read_sequence

    ids = {row: item.id for row, item in store.items()}
    found = [(ids[row], *read_sequence(fact)) for row, fact in store.all_facts(SEQUENCES) if fact and row in ids]
    most = max((len(at) for _, at, _ in found), default=0)
    dim = max((rows.shape[1] for _, _, rows in found), default=0)
    vectors = np.full((len(found), most, dim), np.nan, np.float32)
    begins = np.full((len(found), most), np.nan)
    for n, (_, at, rows) in enumerate(found):
        begins[n, : len(at)], vectors[n, : len(rows), : rows.shape[1]] = at, rows
    np.savez(out, ids=np.array([name for name, _, _ in found], np.str_), vectors=vectors, at=begins)
    return len(found)


def _written(file: Path, at: Path, as_json: bool, write: Callable[[Store, IO[bytes]], int]) -> None:
    """The file appears whole or not at all; one that is there is not written over."""
    if file.exists():
        raise MatineeError(
            "export.exists", f"{file} is there already. Name another file.", f"{file} 已存在。请换一个文件名。"
        )
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        with opened(at) as (_, store), part.open("wb") as out:
            n = write(store, out)
        os.replace(part, file)
    except OSError as error:
        en, zh = f"{file} cannot be written: {error.strerror}.", f"无法写入 {file}：{error.strerror}。"
        raise MatineeError("export.failed", en, zh, exit_code=1) from error
    finally:
        part.unlink(missing_ok=True)
    if as_json:
        emit({"file": str(file), "rows": n})
    else:
        say(t(f"{n} rows in {file}", f"{n} 行，写入 {file}"))
