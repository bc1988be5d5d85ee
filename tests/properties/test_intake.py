"""Events from outside: whatever comes, each is accepted or refused alone, and nothing raises."""

from __future__ import annotations

import contextlib
import json
import math

from hypothesis import given, settings
from hypothesis import strategies as st

from matinee.errors import MatineeError
from matinee.pipeline.tokens import folded, tokens
from matinee.serve.intake import REFUSED, read_events
from matinee.serve.static import asked
from matinee.serve.words import language_of
from matinee.types import EVENT_KINDS

NOW = 1_700_000_000.0
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63), st.floats(), st.text(max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=5,
)
texts = st.one_of(st.text(max_size=5), anything)
kinds = st.one_of(st.sampled_from(EVENT_KINDS), anything)
near_events = st.fixed_dictionaries(
    {"id": texts, "user": st.text(max_size=5), "kind": kinds},
    optional={"item": texts, "at": anything, "value": anything, "text": anything, "x": anything},
)


@given(st.lists(st.one_of(anything, near_events), max_size=4))
@settings(max_examples=150, deadline=None)
def test_every_event_is_taken_or_refused_with_a_known_reason(given_: list[object]) -> None:
    batch = read_events(json.dumps(given_).encode("utf-8", "surrogatepass"), NOW)
    assert len(batch.events) + len(batch.refused) == len(given_)
    assert sorted([*batch.positions, *(i for i, _ in batch.refused)]) == list(range(len(given_)))
    assert all(code in REFUSED for _, code in batch.refused)
    for event in batch.events:
        assert math.isfinite(event.at)
        assert 0 <= event.at <= NOW
        assert event.item or event.kind == "search"
        assert event.value is None or (math.isfinite(event.value) and event.value >= 0)


@given(st.binary(max_size=200))
@settings(max_examples=300)
def test_bytes_are_events_or_a_told_error(body: bytes) -> None:
    with contextlib.suppress(MatineeError):
        read_events(body, NOW)


@given(st.text(max_size=60), st.integers(0, 2000))
def test_a_range_lies_in_the_file(header: str, size: int) -> None:
    for text in (header, f"bytes={header}"):
        span = asked(text, size)
        assert span is None or (span[0] >= 0 and span[1] <= size)


@given(st.text(max_size=80))
def test_text_is_folded_and_split_without_loss_of_sense(text: str) -> None:
    assert folded(folded(text)) == folded(text)
    assert all(t and t == t.strip() for t in tokens(text))
    assert language_of(text) in ("en", "zh")


def test_chinese_is_split_into_pairs_and_widths_are_folded() -> None:
    assert tokens("爱情喜剧") == ("爱情", "情喜", "喜剧")
    assert tokens("ＡＭＥＬＩＥ Amélie") == ("amelie",)
    assert tokens("猫 jazz") == ("猫", "jazz")
    assert language_of("en;q=0.5, zh-CN;q=0.8") == "zh"
    assert language_of("fr, en;q=0.2") == "en"
    assert language_of("zh;q=0") == "en"
