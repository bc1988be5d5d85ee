"""Words within items: speech to text and text in pictures, their errors, speed and memory.

``--minutes``: length of the long talk (speech and pauses joined), heard piece by piece from a file.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from matinee import registry
from matinee.encoders.ocr import load_reader
from matinee.encoders.speech import RATE, load_transcriber
from matinee.ingest.written import sensible
from matinee.media.answers import Job, Walls
from matinee.media.fence import Fence
from matinee.media.read import open_file
from matinee.registry import Datum, Part, Wheel
from matinee.settings import cache_folder

WHEEL = Wheel(
    "moonshine-voice", "0.1.5", "1ed9e0ccf94be4845d69e7fa862dcf4c8b5801a758796966494c694f48184496", 19_897_307, "3.11",
    "manylinux_2_34_x86_64",
)  # fmt: skip
CITIES = Datum(
    "two_cities.wav", "f3348494d77cb74a02862f5e685ed09faf3e75832c5cc5c80703282c2cd8b52e", 4_260_326,
    (Part(WHEEL, "moonshine_voice/assets/two_cities.wav"),),
)  # fmt: skip
TEXT = """It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of
foolishness, it was the epoch of belief, it was the epoch of incredulity, it was the season of Light, it was the season
of Darkness, it was the spring of hope, it was the winter of despair, we had everything before us, we had nothing before
us, we were all going direct to Heaven, we were all going direct the other way - in short, the period was so far like
the present period, that some of its noisiest authorities insisted on its being received, for good or for evil, in the
superlative degree of comparison only."""
EN = ("The quick brown fox jumps", "Chapter 12: Night Train", "Directed by A. Kurosawa", "BREAKING NEWS 18:30 LIVE",
      "Thanks for watching!", "price $49.95 only today", "Wind 23 km/h, rain later", "Open in 2031")  # fmt: skip
ZH = ("今天天气很好我们去公园", "第三集 夜晚的列车", "导演：王小明", "新闻联播 现场直播", "感谢观看，下次再见",
      "请勿在此处吸烟", "机器学习入门教程", "如何做红烧肉")  # fmt: skip
FONT = Path("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--only", choices=("speech", "ocr"))
    asked = parser.parse_args()
    if asked.only != "ocr":
        speech(asked.minutes)
    if asked.only != "speech":
        text_in_pictures()


def distance(a: list[str] | str, b: list[str] | str) -> int:
    """Insertions, deletions and replacements between two sequences (Levenshtein)."""
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, right in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (left != right))
    return row[-1]


def sound_of(path: Path, fence: Fence, seconds: float = 120.0) -> np.ndarray:
    fd = open_file(path)
    try:
        return np.frombuffer(fence.run(fd, Job(walls=Walls(), task="sound", sound=seconds))[0].sound, "<f4")
    finally:
        os.close(fd)


def speech(minutes: float) -> None:
    ear = load_transcriber()
    samples = cache_folder() / "samples"
    path = registry.fetch([CITIES], samples / "tests")[0]
    wanted = re.findall(r"[a-z]+", TEXT.lower())
    rng = np.random.default_rng(0)
    with Fence() as fence:
        talk = sound_of(path, fence)
        music = sound_of(samples / "music" / "1918.mp3", fence)[10 * RATE :][: len(talk)]
        print("word errors of 119 words of Dickens, read by a man, by what is mixed under it:")
        for name, under in (("white noise", rng.normal(0, 1, len(talk)).astype(np.float32)), ("music", music)):
            line = []
            for ratio in (None, 20, 10, 5, 0):
                gain = 0 if ratio is None else np.sqrt(np.mean(talk**2) / np.mean(under**2) / 10 ** (ratio / 10))
                mixed = np.clip(talk + gain * under, -1, 1).astype(np.float32)
                said = " ".join(text for _, _, text in ear.hear(mixed)[0]).lower()
                errors = distance(re.findall(r"[a-z]+", said), wanted) / len(wanted)
                line.append(f"{'clean' if ratio is None else f'{ratio} dB'} {errors:.1%}")
            print(f"  {name:12} {', '.join(line)}")
        invented, silent, spent, played = [], 0, time.process_time(), 0.0
        for file in sorted(p for room in ("music", "sound") for p in (samples / room).iterdir()):
            if ".web." not in file.name and file.suffix in (".opus", ".mp3", ".ogg", ".wav", ".aif"):
                heard = sound_of(file, fence)
                played += len(heard) / RATE
                lines = ear.hear(heard)[0]
                silent += not lines
                invented += [(file.name, text) for _, _, text in lines]
        spent = time.process_time() - spent
        print(f"music and noise: {silent} files without a word, invented {invented}; {played / spent:.0f} x real time")
        without_rules(ear, [sound_of(f, fence) for f in sorted((samples / "music").glob("*.opus"))[:8]])
    with tempfile.TemporaryDirectory() as place:
        long_talk(Path(place) / "talk.wav", talk, minutes, ear)


def without_rules(ear, sounds: list[np.ndarray]) -> None:
    """What Whisper writes for music when no voice detector is asked first, and what YAMNet leaves of it."""
    written = left = 0
    for sound in sounds:
        found, _ = ear.model.transcribe(sound, condition_on_previous_text=False, temperature=0.0)
        lines = [(s.start, s.end, s.text.strip()) for s in found]
        written, left = written + len(lines), left + len(ear.kept(lines, sound))
    print(f"{len(sounds)} pieces of music without the voice detector: {written} lines invented, {left} after YAMNet")


def long_talk(path: Path, talk: np.ndarray, minutes: float, ear) -> None:
    """A talk of many minutes in a file, heard piece by piece: speed and memory."""
    import wave

    pause = np.zeros(3 * RATE, np.float32)
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        for _ in range(max(1, round(minutes * 60 / (len(talk) / RATE + 3)))):
            out.writeframes((np.concatenate([talk, pause]) * 32767).astype("<i2").tobytes())
    fd, before = open_file(path), peak()
    with Fence() as fence:

        def sound(at: float, seconds: float) -> np.ndarray:
            job = Job(walls=Walls(), task="sound", start=at, sound=seconds)
            return np.frombuffer(fence.run(fd, job)[0].sound, "<f4")

        length = (path.stat().st_size - 44) / 2 / RATE
        begun, cpu = time.perf_counter(), time.process_time()
        for state in ear.listen(sound, length):
            words = sum(len(text.split()) for _, _, text in state.lines)
        wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
    os.close(fd)
    print(f"a talk of {length / 60:.1f} minutes: {words} words; {length / cpu:.1f} x real time of one core's time, "
          f"{length / wall:.1f} x by the clock; memory {before} MB before, {peak()} MB at most")  # fmt: skip


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def text_in_pictures() -> None:
    reader = load_reader()
    rng = np.random.default_rng(7)
    fonts = {"English": (EN, None)} | ({"Chinese": (ZH, str(FONT))} if FONT.exists() else {})
    for name, (lines, font) in fonts.items():
        for share in (0.04, 0.06, 0.1):
            wrong = signs = 0
            spent = time.process_time()
            for n in range(12):
                picture, said = drawn(lines, font, share, n, rng)
                read = ["".join(w.text.split()) for w in reader.read(picture) if w.confidence >= 0.5]
                for line in said:
                    plain = "".join(line.split())
                    wrong += min([distance(plain, r) for r in read] or [len(plain)])
                    signs += len(plain)
            spent = (time.process_time() - spent) / 12
            print(f"{name}, letters of {share:.0%} of the height: {wrong / signs:.1%} of {signs} signs wrong, "
                  f"{spent:.2f} s of one core a picture with three lines")  # fmt: skip
    if root := os.environ.get("MATINEE_DATA"):
        on_films(reader, Path(root) / "media" / "video")


def drawn(lines, font, share: float, n: int, rng) -> tuple[np.ndarray, list[str]]:
    width, height = ((1280, 720), (854, 480), (640, 360))[n % 3]
    image = Image.fromarray(rng.normal(90, 18, (height, width, 3)).clip(0, 255).astype(np.uint8))
    size, pen = max(10, round(height * share)), ImageDraw.Draw(image)
    face = ImageFont.truetype(font, size) if font else ImageFont.load_default(size)
    said = [str(line) for line in rng.choice(lines, 3, replace=False)]
    for place, line in enumerate(said):
        pen.text((width * 0.05, height * (0.1 + 0.3 * place)), line, font=face, fill=(250, 250, 240))
    return np.asarray(image.rotate(float(rng.uniform(-4, 4)), Image.Resampling.BICUBIC)), said


def on_films(reader, folder: Path) -> None:
    """Lines found in real films, and how fast frames without much text are looked through."""
    frames, spent, found = 0, 0.0, {}
    with Fence() as fence:
        for path in sorted(folder.glob("*.mp4")):
            fd = open_file(path)
            answer, _ = fence.run(fd, Job(walls=Walls(), task="large", frames=4, moments=(0.5, 5.0, 12.0, 22.5)))
            os.close(fd)
            shape = (answer.frame_count, answer.frame_height, answer.frame_width, 3)
            begun = time.process_time()
            lines = [line for p in np.frombuffer(answer.frames, np.uint8).reshape(shape)
                     for line in sensible(reader.read(p), 0.0)]  # fmt: skip
            spent += time.process_time() - begun
            frames += answer.frame_count
            if lines:
                found[path.name] = [text for text, _, _ in lines]
    print(f"{frames} frames of real films: {frames / spent:.2f} frames a second of one core; found {found}")


if __name__ == "__main__":
    main()
