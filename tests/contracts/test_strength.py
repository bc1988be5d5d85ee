"""What an event is worth, by hand."""

import numpy as np
import pytest

from matinee.data.interactions import from_log, history_from_log
from matinee.data.strength import StrengthTable, strengths
from matinee.protocols import Log
from matinee.types import EVENT_KINDS

NONE = float("nan")


def one(kind: str, value: float = NONE, table: StrengthTable | None = None) -> float:
    args = (np.array([EVENT_KINDS.index(kind)]), np.array([value]))
    return float(strengths(*args, table)[0] if table else strengths(*args)[0])


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("impression", NONE, 0.0), ("search", NONE, 0.0), ("dislike", NONE, -1.0), ("hide", NONE, -1.0),
        ("like", NONE, 1.0), ("finish", NONE, 1.0), ("play", NONE, 0.5), ("play", 0.0, 0.0), ("play", 0.25, 0.25),
        ("play", 1.0, 1.0), ("play", 60.0, 0.5), ("play", 540.0, 0.9), ("play", -3.0, 0.0), ("play", float("inf"), 0.5),
        ("rating", 5.0, 1.0), ("rating", 3.5, 0.4), ("rating", 2.5, 0.0), ("rating", 1.0, -0.6), ("rating", NONE, 0.0),
        ("rating", 1e308, 1.0), ("rating", -7.0, -1.0),
    ],
)  # fmt: skip
def test_strength_by_hand(kind, value, expected):
    assert one(kind, value) == pytest.approx(expected, abs=1e-6)


def test_every_kind_has_a_finite_strength_within_bounds():
    kinds = np.repeat(np.arange(len(EVENT_KINDS)), 6)
    value = np.tile([NONE, -1.0, 0.0, 0.5, 3.0, 1e9], len(EVENT_KINDS))
    s = strengths(kinds, value)
    assert s.dtype == np.float32
    assert np.isfinite(s).all()
    assert (np.abs(s) <= 1).all()


def test_another_table_changes_the_answer():
    assert one("skip", table=StrengthTable(skip=-0.9)) == pytest.approx(-0.9)


def log(rows):
    """rows of (user, item, kind, at, value), in log order."""
    users, items, kinds, at, value = zip(*rows, strict=True)
    codes = np.array([EVENT_KINDS.index(k) for k in kinds])
    at, value = np.array(at, float), np.array(value, float)
    return Log(np.arange(1, len(rows) + 1), np.array(users), np.array(items), codes, at, value)


def test_interactions_are_sorted_by_user_and_time_with_ties_in_log_order():
    data = from_log(
        log([
            (1, 3, "play", 9, 1), (0, 2, "play", 5, 1), (0, 1, "like", 5, NONE), (0, -1, "search", 1, NONE),
            (0, 0, "hide", 2, NONE), (2, 0, "play", 1, 1), (0, 7, "play", 1, 1), (1, 3, "play", 8, 0.5),
        ]),
        n_users=2, n_items=4,
    )  # fmt: skip
    assert data.users.tolist() == [0, 0, 0, 1, 1]
    assert data.items.tolist() == [0, 2, 1, 3, 3]
    assert data.at.tolist() == [2, 5, 5, 8, 9]
    assert data.strength.tolist() == [-1, 1, 1, 0.5, 1]
    assert data.starts.tolist() == [0, 3, 5]


def test_history_keeps_kinds_and_drops_what_has_no_item():
    h = history_from_log(log([(0, 2, "play", 5, 1), (0, -1, "search", 6, NONE), (0, 1, "hide", 4, NONE)]))
    assert h.items.tolist() == [1, 2]
    assert [EVENT_KINDS[k] for k in h.kinds] == ["hide", "play"]
    assert h.strength.tolist() == [-1, 1]


def test_an_empty_log_is_empty_data():
    none = np.empty(0, np.int64)
    empty = Log(none, none, none, none, np.empty(0), np.empty(0))
    assert len(from_log(empty, 3, 4)) == 0
    assert len(history_from_log(empty)) == 0


def test_the_settings_and_the_table_are_the_same_numbers():
    from dataclasses import asdict

    import msgspec

    from matinee.data.strength import table_of
    from matinee.settings import Strength

    assert msgspec.structs.asdict(Strength()) == asdict(StrengthTable())
    assert table_of(Strength(play=0.5, skip_share=0.1)) == StrengthTable(play=0.5, skip_share=0.1)


def test_thresholds_of_what_was_watched():
    table = StrengthTable(skip_share=0.1, skip_seconds=3.0, finish_share=0.9, finish=0.95)
    told = {0.05: -0.3, 0.1: 0.1, 0.89: 0.89, 0.9: 0.95, 1.0: 0.95, 2.0: -0.3, 3.0: 3 / 63, 60.0: 0.5}
    for value, expected in told.items():
        assert one("play", value, table) == pytest.approx(expected, abs=1e-6), value
    assert one("play", NONE, table) == 0.5
    assert one("finish", 0.01, table) == pytest.approx(0.95)  # whoever says finish means it


@pytest.mark.parametrize(
    "wrong",
    ["play = 1.1", "hide = -2", "half_seconds = 0", "skip_share = 0.5\nfinish_share = 0.5", "plays = 1", "like = nan"],
)
def test_wrong_strengths_are_refused_by_name(tmp_path, wrong):
    from matinee.errors import MatineeError
    from matinee.settings import read_settings

    (tmp_path / "matinee.toml").write_text(f"[strength]\n{wrong}\n")
    with pytest.raises(MatineeError) as caught:
        read_settings(tmp_path / "matinee.toml")
    assert caught.value.code == "settings.invalid"


def test_training_and_serving_read_the_same_strengths(tmp_path):
    """One line of the settings turns a dislike into a liking, in the arrays for training and in a request's history."""
    from matinee.serve.service import Service
    from matinee.settings import Library
    from matinee.store import open_store
    from matinee.train import read, table_of
    from matinee.types import Event, Item

    library = Library.create(tmp_path)
    store = open_store(library.database)
    store.put_items([Item(id="a")])
    store.append([Event(id="1", user="u", kind="dislike", at=1.0, item="a")])
    found = []
    for text in ("", "[strength]\ndislike = 0.5\n"):
        (tmp_path / "matinee.toml").write_text(text)
        library = Library.open(tmp_path)
        service = Service(library, store)
        trained = read(store, table_of(library.settings.strength)).strength
        found.append(
            (trained.tolist(), service.history("u")[0].strength.tolist(), service.state.popularity.ever.tolist())
        )
    store.close()
    assert found == [([-1.0], [-1.0], [0.0]), ([0.5], [0.5], [0.5])]
