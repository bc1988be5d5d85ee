"""Search by a picture or a sound that somebody sends: what looks or sounds like it, and what words say of it.

The file is decoded behind the fence, never in this process; two are looked at at a time, each within a few seconds.
"""

from __future__ import annotations

import logging
import os
import queue
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from matinee.errors import Language, MatineeError
from matinee.media.answers import Job, Walls
from matinee.media.fence import Fence, failure
from matinee.media.pictures import is_picture
from matinee.media.read import ERRORS, Reading, reading
from matinee.pipeline.catalogue import Catalogue
from matinee.pipeline.selectors import top_of
from matinee.pipeline.shelf import Shelf
from matinee.serve import find, forms
from matinee.serve.answers import Answers
from matinee.types import Clip, Floats, Ints, Space

if TYPE_CHECKING:
    from matinee.encoders.senses import Senses
    from matinee.serve.service import Service

log = logging.getLogger("matinee.serve")
Kind = Literal["picture", "sound"]
READS: dict[Kind, str] = {"picture": "frames", "sound": "sound"}
LARGEST = 16 << 20  # bytes of a file that is sent
WALLS = Walls(seconds=8.0, cpu=6, soft=3.0, memory=600 << 20)
SECONDS = 30.0  # of a sound that are listened to
AT_ONCE = 2
PATIENCE = 3.0  # seconds that one waits for its turn
NAMED = 0.05  # probability from which a label is told
WORDS = 0.25  # what the meaning of labels counts, beside the likeness itself or where there is none


class Seeker:
    """The encoders and fences of one server. The encoders are loaded after ``start``, or with the first file that is
    sent; fences begin with the first file. Thread-safe.

    Takes about 120 MB beside what the text encoder takes, and a second to load each kind; then 0.1 s for a picture and
    0.5 s for half a minute of sound."""

    def __init__(self, encoders: Sequence[str], precision: str = "float") -> None:
        self.names, self.precision = tuple(encoders), precision
        self._turns = threading.BoundedSemaphore(AT_ONCE)
        self._fences: queue.SimpleQueue[Fence] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._senses: dict[Kind, Senses] = {}

    def start(self, after: Callable[[], object]) -> threading.Thread:
        """Loads what is named and there in a thread of its own, once ``after`` returns: on a busy machine the first
        file that is sent would else wait for it longer than a request may take. What is not there is said to whoever
        sends the first file."""
        thread = threading.Thread(target=self._warm, args=(after,), name="matinee-seek-encoders", daemon=True)
        thread.start()
        return thread

    def _warm(self, after: Callable[[], object]) -> None:
        after()
        for kind in READS:
            try:
                self.senses(kind)
            except MatineeError as error:
                log.info("search by a %s: %s", kind, error)
            except Exception:
                log.exception("search by a %s", kind)

    def close(self) -> None:
        while not self._fences.empty():
            self._fences.get_nowait().close()

    def senses(self, kind: Kind) -> Senses:
        """The encoders of one kind, and that of texts for the meaning of labels. Raises ``seek.none``."""
        from matinee.encoders.senses import load_senses
        from matinee.encoders.table import entry_of

        if held := self._senses.get(kind):
            return held  # without waiting while the other kind is loaded
        with self._lock:
            if kind not in self._senses:
                reads = {name: entry_of(name).reads for name in self.names}
                wanted = [name for name, of in reads.items() if of == READS[kind]]
                if not wanted:
                    raise MatineeError(
                        "seek.none",
                        f"This library has no encoder for a {kind}: name one among encoders in matinee.toml.",
                        "此库没有相应的编码器：请在 matinee.toml 的 encoders 中添加 frames 或 sound。",
                    )
                words = [name for name, of in reads.items() if of == "text"][:1]
                self._senses[kind] = load_senses([*words, *wanted], self.precision)
            return self._senses[kind]

    @contextmanager
    def turn(self) -> Iterator[Fence]:
        """A fence for one file, when it is its turn. Raises ``seek.busy``."""
        if not self._turns.acquire(timeout=PATIENCE):
            raise MatineeError(
                "seek.busy", "Others are being looked at. Try again in a few seconds.",
                "正在处理其他文件。请几秒后重试。", status=503,
            )  # fmt: skip
        try:
            fence = self._fences.get_nowait()
        except queue.Empty:
            fence = Fence()
        try:
            yield fence
        finally:
            self._fences.put(fence)
            self._turns.release()

    def perceive(self, kind: Kind, fd: int) -> Sought:
        """What the encoders make of an open file. Raises ``seek.not_picture``, ``seek.not_sound``, ``media.*``..."""
        senses = self.senses(kind)
        with self.turn() as fence:
            sent = self.read(kind, fd, fence)
            clip = Clip(frames=sent.clip.frames if kind == "picture" else None, frame_at=sent.clip.frame_at,
                        sound=sent.clip.sound if kind == "sound" else None)  # fmt: skip
            perceived = senses.perceive([clip])
        own: dict[str, Floats] = {}
        meant: dict[str, Floats] = {}
        for space, rows in perceived.vectors.items():
            if np.isfinite(rows).all():
                (meant if space.name.startswith("bridge.") else own)[space.key] = rows[0]
        text = senses.text.space if senses.text else None
        labels = [str(label) for label, share in perceived.labels[0].get(READS[kind], ()) if float(str(share)) >= NAMED]
        return Sought(kind, own, next(iter(meant.values()), None), text, tuple(labels[:3]))

    def read(self, kind: Kind, fd: int, fence: Fence) -> Reading:
        """What is in the file, of which only the first bytes are looked at here."""
        if is_picture(os.pread(fd, 16, 0)) != (kind == "picture"):
            raise NOT[kind]
        answer, ended = fence.run(fd, Job(walls=WALLS, frames=4, sound=SECONDS if kind == "sound" else 0.0))
        if not answer.error:
            sent = reading(answer, "", ended.peak)
            if kind == "picture" and sent.kind == "image" and sent.clip.frames is not None:
                return sent
            if kind == "sound" and sent.clip.sound is not None and len(sent.clip.sound):
                return sent
        if answer.error in ("", "unknown", "no_streams") or (kind == "sound" and answer.error == "damaged"):
            raise NOT[kind]
        raise failure(answer.error, *ERRORS.get(answer.error, ERRORS["damaged"]))


NOT: dict[str, MatineeError] = {
    "picture": MatineeError(
        "seek.not_picture", "This is no picture that can be read. Send JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF.",
        "这不是可读取的图片。请发送 JPEG、PNG、WebP、GIF、BMP、TIFF 或 AVIF。", status=422,
    ),
    "sound": MatineeError(
        "seek.not_sound", "This holds no sound that can be read. Send MP3, AAC, Ogg, FLAC, WAV or a video with sound.",
        "其中没有可读取的声音。请发送 MP3、AAC、Ogg、FLAC、WAV 或带声音的视频。", status=422,
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sought:
    """What was sent: its vectors by the key of the space they are compared in; ``meant``: what its labels mean, in the
    space ``text`` of the text encoder; the likeliest ``labels``."""

    kind: Kind
    own: Mapping[str, Floats]
    meant: Floats | None
    text: Space | None
    labels: tuple[str, ...]

    def found(self, catalogue: Catalogue, n: int, among: Ints) -> find.Found:
        """The n items most like it: by what they look or sound like, and, a quarter as much, by what is said of them;
        by that alone where an item cannot be compared. O(size dim)."""
        from matinee.encoders.queries import keys_led

        likeness = np.full(len(among), np.nan, np.float32)
        words, by = np.zeros(len(among), np.float32), np.zeros(len(among), np.int64)
        names: list[str] = [self.kind]
        led = keys_led(self.text) if self.text and self.meant is not None else ()
        meant = self.meant if self.meant is not None else np.empty(0, np.float32)
        for shelf in catalogue.shelves.values():
            if (vector := self.own.get(shelf.space.key)) is not None:
                has = shelf.has(among)
                own = np.full(len(among), np.nan, np.float32)
                own[has] = like(shelf, vector, among[has])
                likeness = np.fmax(likeness, own)
            elif shelf.space.key in led and shelf.space.name != f"bridge.{READS[self.kind]}":
                clear = np.nan_to_num(find.clear(shelf.take(among) @ meant))
                names.append(find.MEANT.get(shelf.space.kind or shelf.space.name, "text"))
                by = np.where(clear > words, len(names) - 1, by)
                words = np.maximum(words, clear)
        known = ~np.isnan(likeness)
        score = np.nan_to_num(likeness) + WORDS * words
        by = np.where(known & (np.nan_to_num(likeness) >= WORDS * words), 0, by)
        score = np.where(score > 0, score, np.nan).astype(np.float32)
        place = dict(zip(among.tolist(), by.tolist(), strict=True))
        items, top = top_of(among, score, n)
        return find.Found(items, np.minimum(top, 1.0), tuple(names[place[int(i)]] for i in items))


def like(shelf: Shelf, vector: Floats, rows: Ints) -> Floats:
    """(n,) likeness of items that have a vector to one that is in no item: the cosine around what all items of the
    shelf share, in spreads over ``find.FAR``; where it is above a half it counts as it is, for of few items the spread
    is no measure. At most 1."""
    centred = vector - shelf.mean
    cosine = shelf.against(np.asarray(centred / max(float(np.linalg.norm(centred)), 1e-6), np.float32), rows)
    alike: Floats = np.maximum(cosine / np.float32(shelf.spread * find.FAR), 2 * cosine - 1)
    return np.minimum(alike, np.float32(1.0))


def hits(service: Service, sought: Sought, n: int, lang: Language, where: str = "") -> forms.Hits:
    """The answer in the form of ``/search``; its ``query`` is what was seen or heard in what was sent."""
    from matinee.encoders.labels import label_in
    from matinee.serve.asking import here

    state = service.current()
    found = sought.found(state.catalogue, n, here(state, where))
    answers = Answers(state.catalogue, lang)
    items = tuple(
        forms.Hit(**answers.brief_fields(int(row)), score=round(float(score), 4), matched=name)
        for row, score, name in zip(found.rows, found.score, found.by, strict=True)
    )
    seen = ("、" if lang == "zh" else ", ").join(label_in(label, lang) for label in sought.labels)
    return forms.Hits(query=seen, items=items)


@contextmanager
def kept(raw: bytes) -> Iterator[int]:
    """A descriptor of bytes in memory, or of a file without a name where the system has no such memory."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("sent", os.MFD_CLOEXEC)
        try:
            view = memoryview(raw)
            while view:
                view = view[os.write(fd, view) :]
            yield fd
        finally:
            os.close(fd)
        return
    with tempfile.TemporaryFile() as file:
        file.write(raw)
        file.flush()
        yield file.fileno()
