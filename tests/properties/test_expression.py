"""The filter language: it means what Python would mean, and no text does anything but parse or be refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matinee.errors import MatineeError
from matinee.pipeline.expression import parse
from matinee.types import Item

FILM = Item(
    id="x",
    title="War and Peace",
    tags=("Jazz", "slow"),
    categories=("drama",),
    creators=("Bob",),
    language="en",
    duration=500.0,
    season=2,
    properties={"age": 12, "hd": True, "name": "q"},
)

TRUE = [
    'duration < 600 and "jazz" in tags',
    "60 < duration < 600",
    '"bob" in creators',
    'language in ["en", "zh"]',
    'language == "EN"',
    "not duration > 600",
    "duration >= 500 and duration <= 500",
    '"war" in title',
    "properties.age <= 12",
    "properties.hd",
    "properties.hd == true",
    "expires == none",
    "season != 3",
    '"rock" not in tags',
    "1 or 0 and 0",
    "not (1 and 0)",
    "(duration < 1) or (duration > 1)",
    "not not true",
    "'drama' in categories",
    "duration != none",
    "not (properties.missing > 3)",
    "[] == []",
    "-1 < 0",
    'title == "war and peace"',
]
FALSE = [
    "duration < 60",
    '"rock" in tags',
    "expires > 5",
    "properties.missing",
    "none",
    "0",
    "language == none",
    '"a" < 5',
    "duration in 5",
    "5 in title",
    "properties.missing > 3",
    "not true or false",
    '"bob" in "alice"',
    "tags < tags",
]
WRONG = [
    "",
    "duration <",
    "duration < 600 and",
    "(duration < 600",
    "duration < 600)",
    "dur < 1",
    "__class__",
    "title.__class__",
    "properties",
    "properties.a.b",
    "lambda x: x",
    "f(1)",
    "1 +",
    "1 + 1",
    "a;b",
    '"open',
    "[1, 2",
    "not",
    "in tags",
    "media",
    "duration = 1",
    "import os",
    "`x`",
    "(" * 100 + "1" + ")" * 100,
    "not " * 100 + "1",
    "x" * 3000,
    "1 2",
    "[1 2]",
    "and",
]


@pytest.mark.parametrize("text", TRUE)
def test_true(text: str) -> None:
    assert parse(text).holds(FILM)


@pytest.mark.parametrize("text", FALSE)
def test_false(text: str) -> None:
    assert not parse(text).holds(FILM)


@pytest.mark.parametrize("text", WRONG)
def test_wrong(text: str) -> None:
    with pytest.raises(MatineeError) as error:
        parse(text)
    assert error.value.code == "where.wrong"
    assert error.value.status == 400


parts = st.sampled_from(
    [
        "duration",
        "tags",
        "title",
        '"jazz"',
        "600",
        "-3.5",
        "and",
        "or",
        "not",
        "in",
        "<",
        "<=",
        "==",
        "!=",
        "(",
        ")",
        "[",
        "]",
        ",",
        "true",
        "none",
        "properties.age",
        "season",
        "'x'",
    ]
)


@given(st.one_of(st.text(max_size=60), st.lists(parts, max_size=14).map(" ".join)))
@settings(max_examples=400)
def test_any_text_parses_or_is_refused_and_then_only_says_yes_or_no(text: str) -> None:
    try:
        expression = parse(text)
    except MatineeError:
        return
    assert expression.holds(FILM) in (True, False)
    assert expression.holds(Item(id="bare")) in (True, False)


atoms = st.sampled_from(["true", "false", "duration < 600", "season == 3"])
joined = st.sampled_from(["({}) and ({})", "({}) or ({})"])
formulas = st.recursive(
    atoms,
    lambda f: st.one_of(f.map("not ({})".format), st.tuples(joined, f, f).map(lambda t: t[0].format(t[1], t[2]))),
)


@given(formulas)
def test_logic_is_pythons(text: str) -> None:
    names = {"true": True, "false": False, "duration": 500.0, "season": 2}
    assert parse(text).holds(FILM) == eval(text, {"__builtins__": {}}, names)  # noqa: S307 - the oracle, on our own text
