"""Files over HTTP: the page, covers and media. A client names an item or a built asset, never a path."""

from __future__ import annotations

import gzip
import mimetypes
import os
import re
import stat
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from anyio.to_thread import run_sync
from litestar import Response
from litestar.response import Stream

from matinee.errors import MatineeError

WEB = Path(__file__).parent / "web"
CHUNK = 256 * 1024
ASSET = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,120}")
COVER = re.compile(r"covers/[A-Za-z0-9_-]{8,128}\.(jpg|jpeg|png|webp)")
RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
POLICY = (
    "default-src 'self'; img-src 'self' data:; media-src 'self'; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'"
)
TYPES = {
    ".js": "text/javascript", ".css": "text/css", ".html": "text/html; charset=utf-8", ".svg": "image/svg+xml",
    ".webp": "image/webp", ".woff2": "font/woff2", ".json": "application/json",
    ".opus": "audio/ogg", ".ogg": "audio/ogg",
    ".oga": "audio/ogg", ".flac": "audio/flac", ".wav": "audio/wav", ".m4a": "audio/mp4", ".mkv": "video/x-matroska",
    ".mp4": "video/mp4", ".webm": "video/webm", ".mp3": "audio/mpeg", ".mpg": "video/mpeg", ".avi": "video/x-msvideo",
}  # fmt: skip
# Only what a browser shows or plays as such leaves under its own type; anything else is a download.
PACKED = (".js", ".css", ".svg")
SHOWN = ("video/", "audio/", "image/")


def page(asset: str = "", accepted: str = "") -> Response[bytes]:
    """The page or one of its built assets, packed where the browser accepts gzip (``accepted``: its Accept-Encoding).
    Raises ``page.missing`` (404)."""
    path = WEB / "index.html" if not asset else WEB / "assets" / asset
    if (asset and not ASSET.fullmatch(asset)) or not path.is_file():
        raise nothing()
    lasting = "public, max-age=31536000, immutable" if asset else "no-cache"
    headers = {"content-security-policy": POLICY, "cache-control": lasting, "x-frame-options": "DENY"}
    if "gzip" in accepted and path.suffix in PACKED:
        headers |= {"content-encoding": "gzip", "vary": "accept-encoding"}
        return Response(packed(path, path.stat().st_mtime_ns), media_type=type_of(path), headers=headers)
    return Response(path.read_bytes(), media_type=type_of(path), headers=headers)


@lru_cache(maxsize=64)
def packed(path: Path, changed: int) -> bytes:
    """A built file in gzip; ``changed`` so that a page built anew is packed anew."""
    return gzip.compress(path.read_bytes(), 9, mtime=0)


def cover(folder: Path, named: str) -> Response[bytes]:
    """A cover that ingest wrote under ``covers/``. Raises 404 for anything else."""
    if not COVER.fullmatch(named):
        raise nothing()
    with _opened(folder / named) as (file, _):
        content = os.read(file, 1 << 24)
    headers = {"cache-control": "private, max-age=86400", "content-security-policy": "default-src 'none'"}
    return Response(content, media_type=type_of(Path(named)), headers=headers)


def type_of(path: Path) -> str:
    return TYPES.get(path.suffix.lower()) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"


def nothing() -> MatineeError:
    return MatineeError("file.missing", "There is no such file.", "没有这个文件。", status=404)


@dataclass(slots=True)
class _opened:  # noqa: N801 - reads as a verb
    """Opens a regular file without following a link in its last step; a pipe, device or folder is no file."""

    path: Path
    file: int = -1

    def __enter__(self) -> tuple[int, os.stat_result]:
        try:
            self.file = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError):
            raise nothing() from None
        told = os.fstat(self.file)
        if not stat.S_ISREG(told.st_mode):
            os.close(self.file)
            raise nothing()
        return self.file, told

    def __exit__(self, *_: object) -> None:
        os.close(self.file)


def media(path: Path, range_: str | None, if_range: str | None, head: bool) -> Response[Any] | Stream:
    """A media file, whole or the one range asked for (RFC 9110, section 14): 200, 206 or 416.

    Several ranges in one request are answered with the whole file, as the standard allows.
    """
    opened = _opened(path)
    file, told = opened.__enter__()
    size, tag = told.st_size, f'"{told.st_mtime_ns:x}-{told.st_size:x}"'
    kind = type_of(path)
    headers = {
        "accept-ranges": "bytes", "etag": tag, "cache-control": "private, max-age=3600",
        "content-security-policy": "default-src 'none'; sandbox",
    }  # fmt: skip
    if not kind.startswith(SHOWN) or kind == "image/svg+xml":
        kind, headers["content-disposition"] = "application/octet-stream", "attachment"
    span = asked(range_, size) if range_ and if_range in (None, tag) else None
    if span is not None and span[0] >= span[1]:
        os.close(file)
        return Response(b"", status_code=416, headers={"content-range": f"bytes */{size}"}, media_type=kind)
    start, end = span or (0, size)
    headers["content-length"] = str(end - start)
    if span:
        headers["content-range"] = f"bytes {start}-{end - 1}/{size}"
    status = 206 if span else 200
    if head:
        os.close(file)
        return Response(b"", status_code=status, headers=headers, media_type=kind)
    return Stream(_chunks(file, start, end), status_code=status, headers=headers, media_type=kind)


def asked(header: str, size: int) -> tuple[int, int] | None:
    """(start, end) of a single byte range, end exclusive; an empty span where it cannot be met; None to send all."""
    match = RANGE.fullmatch(header.strip())
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        return max(size - int(last), 0), size if int(last) else 0
    start = int(first)
    if last and int(last) < start:
        return None
    return start, min(int(last) + 1, size) if last else size


async def _chunks(file: int, start: int, end: int) -> AsyncIterator[bytes]:
    """The file's bytes from a thread, so that a slow disk stops nobody; closes it at the end, also when the client
    left."""
    try:
        while start < end:
            chunk = await run_sync(os.pread, file, min(CHUNK, end - start), start)
            if not chunk:  # the file was cut meanwhile: the connection ends early, which tells the client
                return
            start += len(chunk)
            yield chunk
    finally:
        os.close(file)


def recorded(files: Mapping[str, str], item: str, media_path: str | None) -> Path:
    """Where an item's media lies, if that is where ingest found it: a path that only a client named is not served."""
    if not media_path or files.get(item) != media_path:
        raise nothing()
    return Path(media_path)
