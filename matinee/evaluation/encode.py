"""What the encoders make of a data set's items: their words (``text``) and their pictures (``frames``).

Pictures are those of ``matinee.data.datasets.pictures``, decoded behind the fence of ``matinee.media``, as everything
is. Vectors are kept in the cache folder under a digest of the encoder and of all that it read, so a second
evaluation starts at once. Users' tags are left out, as in ``words``.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from matinee.data.columns import nearest
from matinee.data.datasets.frame import Dataset
from matinee.data.datasets.pictures import pictures_of
from matinee.errors import MatineeError
from matinee.protocols import Encoder
from matinee.settings import cache_folder
from matinee.types import Clip, Floats, Item

READS = ("text", "frames")
BATCH = 64
Progress = Callable[[str, int, int], None]


def encoded_features(data: Dataset, names: Sequence[str], progress: Progress) -> dict[str, Floats]:
    """modality -> (n_items, dim) float32 unit rows, NaN where an item lacks words or a picture that can be read.
    ``names``: of ``READS``, or checkpoints that read such (``hub:...``).

    Raises ``evaluate.setting`` for another name and ``weights.missing`` with what to do, for checkpoints what
    ``matinee.encoders.table`` raises.
    """
    from matinee.encoders.table import HUB, entry_of, load_encoder

    out = {}
    for name in names:
        reads = entry_of(name).reads if name.startswith(HUB) else name
        if reads not in READS:
            near = nearest(name, READS)
            raise MatineeError(
                "evaluate.setting",
                f"Items can be encoded by {' and '.join(READS)}, not by {name!r}; did you mean {near!r}?",
                f"条目可用 {'、'.join(READS)} 编码，而不是 {name!r}；是否指 {near!r}？",
            )
        encoder = load_encoder(name)
        texts = {row: words(item) for row, item in data.catalogue.items()} if reads == "text" else {}
        files = pictures_of(data) if reads == "frames" else {}
        out[name if reads in out else reads] = _kept(encoder, texts, files, len(data.items), progress)
    return out


def words(item: Item) -> str:
    """Title, description, categories, creators."""
    parts = (item.title, item.description, *item.categories, *item.creators)
    return ". ".join(dict.fromkeys(part.strip() for part in parts if part.strip()))


def _kept(encoder: Encoder, texts: Mapping[int, str], files: Mapping[int, Path], n: int, progress: Progress) -> Floats:
    """From the cache, or made and put there."""
    digest = hashlib.sha256(f"{encoder.space.key} {n}\n".encode())
    for row, text in sorted(texts.items()):
        digest.update(f"{row} {text}\n".encode("utf-8", "replace"))
    for row, file in sorted(files.items()):
        digest.update(f"{row} ".encode() + hashlib.sha256(file.read_bytes()).digest())
    place = cache_folder() / "features" / f"{digest.hexdigest()[:32]}.npy"
    try:
        kept = np.load(place, allow_pickle=False)
        if kept.shape == (n, encoder.space.dim) and kept.dtype == np.float32:
            return np.asarray(kept, np.float32)
    except (OSError, ValueError, EOFError):
        pass
    made = _made(encoder, texts, files, n, progress)
    _keep(place, made)
    return made


def _made(encoder: Encoder, texts: Mapping[int, str], files: Mapping[int, Path], n: int, progress: Progress) -> Floats:
    out = np.full((n, encoder.space.dim), np.nan, np.float32)
    total, done = len(texts) + len(files), 0
    rows: list[int] = []
    clips: list[Clip] = []
    for row, clip in _clips(texts, files):
        rows.append(row)
        clips.append(clip)
        if len(rows) == BATCH or done + len(rows) == total:
            out[rows] = encoder.encode(clips)
            done += len(rows)
            rows, clips = [], []
            progress(f"encode {encoder.space.name}", done, total)
    return out


def _clips(texts: Mapping[int, str], files: Mapping[int, Path]) -> Iterator[tuple[int, Clip]]:
    yield from ((row, Clip(text=text)) for row, text in texts.items())
    if not files:
        return
    from matinee.media.fence import Fence
    from matinee.media.read import read_clip

    with Fence() as fence:
        for row, file in files.items():
            try:
                yield row, read_clip(file, fence).clip
            except MatineeError:  # a picture that cannot be read is a picture that is not there
                yield row, Clip()


def _keep(place: Path, vectors: Floats) -> None:
    """A cache that cannot be written is no error: the vectors are there."""
    beside = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            np.save(file, vectors, allow_pickle=False)
        beside.replace(place)
    except OSError:
        beside.unlink(missing_ok=True)
