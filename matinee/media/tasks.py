"""What a fenced child can be asked to do, by name."""

from __future__ import annotations

import os
from collections.abc import Callable

from matinee.media.answers import Answer, Job


def quiet(share: float) -> None:
    """Nobody listens."""


def preload() -> None:
    """Loads all that reading needs, before the walls stand: behind them no file can be opened, so no module either."""
    import encodings.idna
    import encodings.utf_16
    import pkgutil
    from importlib import import_module

    import av
    from PIL import Image

    from matinee.media import decode, pictures, pieces, tags

    for module in pkgutil.walk_packages(av.__path__, "av."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    av.logging.set_level(None)
    Image.init()
    Image.MAX_IMAGE_PIXELS = None  # ours are checked before decoding, and by the walls
    rehearse()
    _ = encodings.idna, encodings.utf_16, decode, pieces, pictures, tags


def rehearse() -> None:
    """Reads one tiny picture and one tiny sound: libraries load parts of themselves at the first use."""
    import io
    import wave

    from PIL import Image

    from matinee.media.answers import Walls
    from matinee.media.decode import read_av
    from matinee.media.pictures import jpeg, read_picture

    job = Job(walls=Walls())
    picture = jpeg(Image.effect_noise((64, 64), 90))
    read_picture(io.BytesIO(picture), job)
    sound = io.BytesIO()
    with wave.open(sound, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(bytes(800))
    read_av(io.BytesIO(sound.getvalue()), job)


def run(job: Job, fd: int, tell: Callable[[float], None] = quiet) -> Answer:
    """``tell`` hears how much of a long file was gone through, 0 to 1."""
    from matinee.media.decode import read_av, read_shots
    from matinee.media.pictures import is_picture, read_picture
    from matinee.media.pieces import read_large, read_large_picture, read_sound

    with os.fdopen(fd, "rb", buffering=0) as file:
        file.seek(0)
        head = file.read(16)
        file.seek(0)
        if job.task == "shots":
            return read_shots(file, job)
        if job.task == "sound":
            return read_sound(file, job)
        if job.task == "large":
            return read_large_picture(file, job) if is_picture(head) else read_large(file, job)
        return read_picture(file, job) if is_picture(head) else read_av(file, job, tell)
