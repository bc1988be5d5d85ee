"""Text in pictures: rendered lines read back to the letter, and the geometry between the two networks."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from matinee.encoders.ocr import Rectangle, Written, fitting, in_order, load, outline, regions, smallest
from matinee.ingest.written import alike, moments, once, sensible
from tests.weights import fetched

CJK = ("opentype/noto/NotoSansCJK-Regular.ttc", "truetype/wqy/wqy-zenhei.ttc", "truetype/arphic/uming.ttc")


@pytest.fixture(scope="module")
def reader():
    return load(fetched("ocr")[0])


def drawn(lines, font, size=(640, 360), ink=(250, 240, 90), ground=(20, 30, 60), turn=0.0):
    image = Image.new("RGB", size, ground)
    pen = ImageDraw.Draw(image)
    for n, line in enumerate(lines):
        pen.text((40, 40 + n * 90), line, font=font, fill=ink)
    return np.asarray(image.rotate(turn, Image.Resampling.BICUBIC, fillcolor=ground))


def letters(texts):
    return ["".join(t.split()) for t in texts]


@pytest.mark.parametrize("turn", [0.0, 6.0, -5.0])
def test_english_is_read_to_the_letter(reader, turn):
    lines = ["The quick brown fox", "Chapter 12: Night Train", "Copyright 1998"]
    picture = drawn(lines, ImageFont.load_default(34), turn=turn)
    read = reader.read(picture)
    assert letters(w.text for w in read) == letters(lines)
    assert all(w.confidence > 0.9 for w in read)
    assert all((w.corners >= 0).all() and (w.corners[:, 0] < 640).all() for w in read)


def test_chinese_is_read_to_the_letter(reader):
    font = next((p for name in CJK if (p := Path("/usr/share/fonts") / name).exists()), None)
    if font is None:
        pytest.skip("no Chinese font on this machine")
    lines = ["今天天气很好我们去公园", "导演：王小明", "请勿在此处吸烟"]
    read = reader.read(drawn(lines, ImageFont.truetype(str(font), 34)))
    assert letters(w.text for w in read) == lines


def test_nothing_is_read_where_nothing_stands(reader):
    rng = np.random.default_rng(3)
    y, x = np.mgrid[0:240, 0:320]
    waves = (127 + 120 * np.sin(x / 9.0) * np.cos(y / 13.0)).astype(np.uint8)
    for picture in (np.zeros((240, 320, 3), np.uint8), rng.integers(0, 255, (240, 320, 3), np.uint8),
                    np.repeat(waves[..., None], 3, axis=2), np.zeros((8, 8, 3), np.uint8)):  # fmt: skip
        assert sensible(reader.read(picture), 0.0) == []


def test_the_smallest_rectangle_is_the_one_that_was_drawn():
    for angle in (0.0, 12.0, 44.0, -30.0):
        turned = np.deg2rad(angle)
        axis = np.array([np.cos(turned), np.sin(turned)])
        true = Rectangle(np.array([100.0, 80.0]), axis, (90.0, 20.0))
        inner = np.random.default_rng(1).uniform(-0.5, 0.5, (300, 2)) * true.sides
        points = true.centre + inner[:, :1] * axis + inner[:, 1:] * [-axis[1], axis[0]]
        found = smallest(np.concatenate([points, true.corners()]))
        assert sorted(found.sides) == pytest.approx([20.0, 90.0], abs=1e-6)
        assert np.allclose(found.corners(), true.corners())
        assert sorted(found.grown(1.6).sides) == pytest.approx([20 + 2 * 1.6 * 1800 / 220, 90 + 2 * 1.6 * 1800 / 220])
    assert smallest(np.array([[3.0, 4.0], [9.0, 4.0]])).sides[1] == 0
    mask = np.zeros((4, 5), bool)
    mask[1, 1:4] = mask[2, 2] = True
    assert {tuple(p) for p in outline(mask)} == {(1.0, 1.0), (3.0, 1.0), (2.0, 2.0)}


def test_regions_are_found_and_faint_ones_are_not():
    heat = np.zeros((100, 200), np.float32)
    heat[20:30, 40:120] = 0.9
    heat[60:70, 40:120] = 0.35  # text perhaps, but not on the whole
    heat[90, 10] = 0.9  # a speck
    (box,) = regions(heat, 200, 400)
    assert box[0][0] < 80 < 240 < box[1][0]
    assert box[0][1] < 40 < 60 < box[2][1]
    assert regions(np.zeros((10, 10), np.float32), 10, 10) == []


def test_lines_come_in_the_order_of_reading():
    def at(x, y):
        return np.array([[x, y], [x + 50, y], [x + 50, y + 20], [x, y + 20]], float)

    boxes = [at(300, 12), at(10, 100), at(10, 10), at(160, 105)]
    assert [tuple(b[0]) for b in in_order(boxes)] == [(10, 10), (300, 12), (10, 100), (160, 105)]
    assert in_order([]) == []


def test_pictures_fit_the_detector():
    for height, width in ((360, 640), (1080, 1920), (20, 3000), (1280, 720), (33, 33)):
        h, w = fitting(height, width)
        assert (h % 32, w % 32) == (0, 0)
        assert h * w <= 4_000_000


def test_what_is_no_text_is_left_out_and_the_same_line_is_one():
    def line(text, sure):
        return Written(text, sure, np.zeros((4, 2)))

    read = [
        line("EXIT", 0.8),
        line("--", 0.99),
        line("lll", 0.95),
        line("ab", 0.85),
        line("出口", 0.8),
        line("Hello", 0.6),
    ]
    assert [t for t, _, _ in sensible(read, 1.0)] == ["EXIT", "出口"]
    seen = [("The Harbour", 0.8, 1.0), ("Tho Harbour", 0.9, 2.0), ("PART TWO", 0.9, 3.0), ("the harbour", 0.85, 9.0)]
    assert once(seen) == [("Tho Harbour", 0.9, 1.0), ("PART TWO", 0.9, 3.0)]
    assert alike("abcdef", "abcdef")
    assert not alike("abc", "abd")
    assert not alike("chapter one", "chapter one and all the rest of it")


def test_each_shot_is_looked_at_and_long_gaps_too():
    shots = [{"start": 0.0, "end": 2.0}, {"start": 2.0, "end": 30.0}]
    found = moments({"media": {"duration": 30.0}, "shots": shots})
    assert 1.4 in found
    assert len(found) <= 24
    assert max(b - a for a, b in pairwise(found)) <= 5.0
    assert (
        len(moments({"media": {"duration": 9000.0}, "shots": [{"start": n, "end": n + 1} for n in range(5000)]})) == 24
    )
    assert moments({"media": {}}) == [0.0]
