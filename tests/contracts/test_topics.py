"""Zero-shot tags in two languages."""

from __future__ import annotations

import numpy as np
import pytest

from matinee.encoders.table import load_encoder
from matinee.encoders.topics import topics
from matinee.types import Clip
from tests import made

KNOWN = {
    "How to bake sourdough bread at home": "baking",
    "在家烤面包的方法": "baking",
    "猫咪搞笑视频合集": "cats",
    "A talk about compilers and type systems": "computers and programming",
    "雨声助眠 八小时": "rain and storm",
    "量子力学入门课程": "physics",
    "An evening with a string quartet playing Beethoven": "classical music",
    "Learn Spanish verbs in ten minutes": "language learning",
    "Steam trains of the Alps": "trains",
    "二战中的太平洋战场": "war",
}


@pytest.fixture(scope="module")
def known():
    made.require_weights("text")
    return topics(load_encoder("text"))


def test_known_texts_get_their_topic(known):
    rows = load_encoder("text").encode([Clip(text=t) for t in KNOWN])
    named = [[t.en for t in known.of({"text": row[None]})] for row in rows]
    right = [wanted in tags for tags, wanted in zip(named, KNOWN.values(), strict=True)]
    assert sum(right) >= 9, [(t, n) for t, n, r in zip(KNOWN, named, right, strict=True) if not r]


def test_topics_have_two_names_and_sink_when_unsure(known):
    assert all(en and zh for en, zh in known.names)
    assert len({en for en, _ in known.names}) == len(known.names)
    row = load_encoder("text").encode([Clip(text="IMG 2034")])
    assert known.of({"text": row}) == []
    assert known.of({}) == []
    assert known.of({"text": np.full((1, 512), np.nan, np.float32)}) == []


def test_the_surer_evidence_speaks(known):
    cats, news = load_encoder("text").encode([Clip(text="猫"), Clip(text="The evening news")])
    found = known.of({"text": news[None], "bridge.frames": cats[None]})
    assert {"cats": "bridge.frames", "news": "text"}.items() <= {t.en: t.by for t in found}.items()
    assert found[0].confidence >= found[-1].confidence
    assert {t.en: t.zh for t in found}["cats"] == "猫"
