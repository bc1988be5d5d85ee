"""Hostile media: mutants of good files and files crafted to hurt, made from a seed."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from tests import made


def seeds(folder) -> dict[str, bytes]:
    """Small good files of many formats."""
    frames = np.stack([made.scene(n // 5, 48, 64, n) for n in range(15)])
    sound = made.piano(seconds=1.5)
    for name, codec in (
        ("a.mp4", "libx264"),
        ("b.mkv", "libx264"),
        ("c.avi", "mpeg4"),
        ("d.webm", "libvpx"),
        ("e.ts", "mpeg2video"),
    ):
        made.write_media(folder / name, frames, None if name in ("d.webm", "c.avi") else sound, codec=codec, fps=25)
    for name in ("f.wav", "g.mp3", "h.ogg", "i.flac", "j.m4a"):
        made.write_media(folder / name, sound=sound, tags={"title": "a tag"})
    picture = Image.fromarray(frames[0])
    for name in ("k.jpg", "l.png", "m.gif", "n.webp", "o.tiff", "p.bmp"):
        picture.save(folder / name)
    stack = [Image.fromarray(f) for f in frames[:5]]
    stack[0].save(folder / "q.gif", save_all=True, append_images=stack[1:])
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def mutant(raw: bytes, rng: np.random.Generator) -> bytes:
    """One of several ways in which files break, and in which they are broken on purpose."""
    data = bytearray(raw)
    kind = rng.integers(8)
    at = int(rng.integers(len(data)))
    span = int(rng.integers(1, min(4096, len(data)) + 1))
    if kind == 0:
        return bytes(data[:at])
    if kind == 1:
        for where in rng.integers(0, len(data), int(rng.integers(1, 30))):
            data[where] ^= 1 << int(rng.integers(8))
    elif kind == 2:
        data[at : at + span] = bytes(len(data[at : at + span]))
    elif kind == 3:
        data[at : at + span] = rng.bytes(span)
    elif kind == 4:
        data[at:at] = data[at : at + span] * int(rng.integers(1, 20))
    elif kind == 5:  # a number that lies: lengths, sizes, counts
        value = [0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFF][int(rng.integers(6))]
        data[at : at + 4] = struct.pack(">I" if rng.integers(2) else "<I", value)
    elif kind == 6:
        head = int(rng.integers(1, min(512, len(data))))
        for where in rng.integers(0, head, 4):
            data[where] = int(rng.integers(256))
    else:
        del data[at : at + span]
    return bytes(data)


def png_of(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1 << 20)))
        + chunk(b"IEND", b"")
    )


def wav_of(rate: int, channels: int, bits: int, said: int, body: bytes) -> bytes:
    block = channels * bits // 8
    form = struct.pack("<HHIIHH", 1, channels & 0xFFFF, rate, rate * block & 0xFFFFFFFF, block & 0xFFFF, bits)
    return (
        b"RIFF"
        + struct.pack("<I", said)
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + form
        + b"data"
        + struct.pack("<I", said)
        + body
    )


TEXTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{to}\n#EXT-X-ENDLIST\n",
    "hls-key": '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{to}"\n#EXTINF:10,\na.ts\n#EXT-X-ENDLIST\n',
    "ffconcat": "ffconcat version 1.0\nfile '{to}'\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\na={to}\nm=audio 5004 RTP/AVP 0\n",
    "dash": "<?xml version='1.0'?><MPD><Period><AdaptationSet><Representation><BaseURL>{to}</BaseURL></Representation>"
    "</AdaptationSet></Period></MPD>",
    "smil": "<smil><body><video src='{to}'/></body></smil>",
    "svg": "<svg xmlns='http://www.w3.org/2000/svg'><image href='{to}'/></svg>",
    "xxe": "<?xml version='1.0'?><!DOCTYPE x [<!ENTITY e SYSTEM '{to}'>]><svg>&e;</svg>",
    "asx": "<asx version='3.0'><entry><ref href='{to}'/></entry></asx>",
    "ass": "[Script Info]\nTitle: {to}\n[Events]\nDialogue: 0,0:00:00.00,0:00:01.00,Default,,0,0,0,,x\n",
}
TARGETS = (
    "file:///etc/passwd",
    "/etc/passwd",
    "http://127.0.0.1:9/",
    "concat:/etc/passwd|/etc/passwd",
    "../secret.wav",
)


def crafted(good: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of more than a hundred files that mean harm or madness."""
    for kind, text in TEXTS.items():
        for n, to in enumerate(TARGETS):
            yield f"{kind}-{n}{('.mp4', '.mkv', '.mp3', '.jpg', '.avi')[n]}", text.format(to=to).encode()
    for n, (width, height) in enumerate(
        [(100_000, 100_000), (2**31 - 1, 2**31 - 1), (13_000, 13_000), (0, 0), (1, 2**30)]
    ):
        yield f"huge-{n}.png", png_of(width, height)
        gif = b"GIF89a" + struct.pack("<HH", width & 0xFFFF, height & 0xFFFF) + b"\x80\0\0" + bytes(6) + b","
        yield f"huge-{n}.gif", gif + struct.pack("<HHHH", 0, 0, width & 0xFFFF, height & 0xFFFF) + b"\0\x02\x02L\x01\0;"
        bmp = (
            b"BM"
            + struct.pack("<IHHI", 54, 0, 0, 54)
            + struct.pack("<IiiHHIIiiII", 40, width % 2**31, height % 2**31, 1, 24, 0, 0, 0, 0, 0, 0)
        )
        yield f"huge-{n}.bmp", bmp + bytes(100)
    for n, (rate, channels, bits) in enumerate(
        [(1, 1, 16), (768_000, 2, 16), (0, 1, 16), (8000, 255, 8), (2**32 - 1, 65535, 64), (44100, 0, 16)]
    ):
        yield f"rate-{n}.wav", wav_of(rate, channels, bits, 20_000, bytes(20_000))
        yield f"lies-{n}.wav", wav_of(44_100, 1, 16, 0xFFFFFFFF, bytes(n * 10))
    yield "empty-sound.wav", wav_of(44_100, 1, 16, 0, b"")
    nan = np.full(8000, np.nan, "<f4").tobytes()
    form = struct.pack("<HHIIHH", 3, 1, 16_000, 64_000, 4, 32)
    yield (
        "nan.wav",
        b"RIFF"
        + struct.pack("<I", len(nan) + 36)
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + form
        + b"data"
        + struct.pack("<I", len(nan))
        + nan,
    )
    yield "bomb.gz.mp4", gzip.compress(bytes(50_000_000))
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a", bytes(50_000_000))
    yield "bomb.zip.jpg", archive.getvalue()
    yield (
        "xml-bomb.svg.png",
        b"<!DOCTYPE l [<!ENTITY a 'aaaa'>" + b"".join(b"<!ENTITY b%d '&a;&a;&a;'>" % i for i in range(99)) + b"]>",
    )
    yield "tags.mp3", b"ID3\x04\0\0" + bytes([0x7F] * 4) + b"TIT2" + b"x" * 3_000_000 + good["g.mp3"]
    yield "endless.mp3", good["g.mp3"] * 500
    yield "endless.ts", good["e.ts"] * 200
    yield "endless.aac", b"\xff\xf1\x50\x80\x01\x3f\xfc\x00" * 200_000
    for name, raw in good.items():
        yield f"polyglot-{name}", raw + b"<html><script>alert(1)</script>" + raw
        yield f"html-{name}", b"<!doctype html><script>" + raw
    for n, name in enumerate(good):  # the ending lies
        yield f"wrong{('.mp4', '.jpg', '.mp3')[n % 3]}-{n}", good[name]
        yield f"wrong-{n}{('.mp4', '.jpg', '.mp3')[n % 3]}", good[name]
    atom = struct.pack(">I", 1) + b"moov" + struct.pack(">Q", 2**62)
    yield "atom-long.mp4", good["a.mp4"][:32] + atom
    yield (
        "atom-nest.mp4",
        good["a.mp4"][:32] + b"".join(struct.pack(">I", 8 * (20_000 - i)) + b"moov" for i in range(20_000)),
    )
    yield "zeros.mkv", bytes(1_000_000)
    yield "ones.mkv", b"\xff" * 1_000_000
