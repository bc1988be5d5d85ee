"""Pictures inside the fenced child: files read by Pillow, which frame makes a cover, and covers made into JPEG."""

from __future__ import annotations

import io
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from matinee.media.answers import Answer, Job
from matinee.types import Pixels

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "MPO")
SIDE = 256  # shorter side of what encoders get
WIDEST = 1024  # a longer one is cut to its middle, so a strip of a picture stays small
COVER = 640  # longer side
STILLS = 8  # frames taken of an animated picture


def is_picture(head: bytes) -> bool:
    """Whether a file begins like one of the formats that Pillow may read."""
    return (
        head[:3] == b"\xff\xd8\xff"
        or head[:8] == b"\x89PNG\r\n\x1a\n"
        or head[:6] in (b"GIF87a", b"GIF89a")
        or head[:2] == b"BM"
        or head[:4] in (b"II*\0", b"MM\0*")
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
        or (head[4:12] in (b"ftypavif", b"ftypavis"))
    )


def read_picture(file: IO[bytes], job: Job) -> Answer:
    """A picture, upright as its EXIF data says; of an animated one up to eight frames."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        image: Image.Image = Image.open(file, formats=FORMATS)
        if image.width * image.height > job.walls.pixels:
            return Answer(error="too_many_pixels", width=min(image.width, 1 << 20), height=min(image.height, 1 << 20))
        count = min(getattr(image, "n_frames", 1), 10_000)
        if count == 1:
            image.draft("RGB", (SIDE * 4, SIDE * 4))  # a JPEG is decoded at a fraction of its size where that will do
        turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
        size = getattr(image, "_matinee_size", None) or image.size
        note, shots = "", []
        for at in np.unique(np.linspace(0, count - 1, min(count, STILLS, job.frames)).round().astype(int)):
            try:
                image.seek(int(at)) if count > 1 else image.load()
                shots.append(ImageOps.exif_transpose(image.convert("RGB") if not turned else image).convert("RGB"))
            except (OSError, ValueError, EOFError, SyntaxError):
                note = "damaged"
                if not shots and (cut := partial(image)) is not None:
                    shots.append(cut)
                break
        if not shots:
            return Answer(error="damaged")
        width, height = size[::-1] if turned else size
        stack = np.stack([small(np.asarray(s)) for s in shots])
        best = max(range(len(shots)), key=lambda i: worth(stack[i]))
        return Answer(
            kind="image", note=note, container=str(image.format or "").lower(), width=width, height=height,
            cover=jpeg(shots[best]), tags=picture_tags(image), **packed(stack, [0.0] * len(stack)),
        )  # fmt: skip
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return Answer(error="damaged")


def partial(image: Image) -> Image | None:
    """What was decoded of a picture that breaks off."""
    from PIL import ImageFile

    ImageFile.LOAD_TRUNCATED_IMAGES = True  # of this process, which reads this one file
    try:
        image.load()
        return image.convert("RGB")
    except (OSError, ValueError, EOFError, SyntaxError):
        return None


def picture_tags(image: Image) -> dict[str, str]:
    exif = image.getexif()
    names = {0x010E: "description", 0x013B: "artist", 0x0132: "date", 0x8298: "copyright"}
    return {name: str(exif[tag]) for tag, name in names.items() if isinstance(exif.get(tag), str) and exif[tag].strip()}


def small(rgb: Pixels) -> Pixels:
    """Shorter side to 256 (bicubic); what is then wider than 1024 is cut to its middle."""
    from PIL import Image

    height, width = rgb.shape[:2]
    longest = round(min(height, width) * WIDEST / SIDE)
    top, left = max(height - longest, 0) // 2, max(width - longest, 0) // 2
    cut = rgb[top : top + longest, left : left + longest]
    scale = SIDE / min(height, width)
    size = max(SIDE, round(cut.shape[1] * scale)), max(SIDE, round(cut.shape[0] * scale))
    if (size[1], size[0]) == cut.shape[:2]:
        return cut
    return np.asarray(Image.fromarray(np.ascontiguousarray(cut)).resize(size, Image.Resampling.BICUBIC))


def worth(rgb: Pixels) -> float:
    """How well a frame shows what a film is: 0 for black, white or blank ones; else more for contrast and sharpness."""
    grey = rgb[::2, ::2].astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    mean, spread = float(grey.mean()), float(grey.std())
    if mean < 8 or mean > 246 or spread < 8:
        return 0.0
    edges = 4 * grey[1:-1, 1:-1] - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
    light = 1 - abs(mean - 118) / 160
    return min(spread, 60) / 60 * float(np.log1p(edges.var())) * light


def jpeg(image: Image) -> bytes:
    from PIL import Image as Images

    image = image.convert("RGB")
    if max(image.size) > COVER:
        scale = COVER / max(image.size)
        image = image.resize(
            (max(1, round(image.width * scale)), max(1, round(image.height * scale))), Images.Resampling.LANCZOS
        )
    out = io.BytesIO()
    image.save(out, "JPEG", quality=85, optimize=True)
    return out.getvalue()


def cover_of(raw: bytes, pixels: int) -> bytes:
    """A JPEG of a picture embedded in a file; nothing when it cannot be read."""
    from PIL import Image

    try:
        image = Image.open(io.BytesIO(raw), formats=FORMATS)
        if image.width * image.height > pixels:
            return b""
        image.draft("RGB", (COVER, COVER))
        return jpeg(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return b""


def packed(stack: Pixels, at: list[float]) -> dict[str, Any]:
    """Frames as fields of an answer."""
    if not len(stack):
        return {}
    n, height, width, _ = stack.shape
    return {
        "frames": stack.tobytes(), "frame_count": n, "frame_height": height, "frame_width": width, "frame_at": at,
    }  # fmt: skip
