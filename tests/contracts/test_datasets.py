"""Every format gives the same log; what is wrong with a file is counted, and a file that is none is refused."""

import json
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from matinee.data.datasets.features import read_features
from matinee.data.datasets.nouns import events_of, items_of
from matinee.data.datasets.table import FORMATS, is_dataset, read_dataset
from matinee.errors import MatineeError
from matinee.types import EVENT_KINDS

# user, item, stars, time: what every file below says
ROWS = [("7", "31", 4, 30), ("7", "10", 5, 10), ("2", "31", 1, 5), ("7", "20", 3, 20), ("2", "10", 2, 40)]
ORDERED = {"7": ["10", "20", "31"], "2": ["31", "10"]}


def as_lines(rows, separator, head=""):
    return head + "".join(separator.join(map(str, row)) + "\n" for row in rows)


def put(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def sequences(data):
    """user -> items oldest first"""
    starts = data.interactions().starts
    return {u: [data.items[i] for i in data.log.items[starts[r] : starts[r + 1]]] for r, u in enumerate(data.users)}


def parquet(folder):
    path = folder / "log.parquet"
    rows = [{"user": int(u), "item": int(i), "value": float(s), "timestamp": t} for u, i, s, t in ROWS]
    pl.DataFrame(rows).with_columns(pl.from_epoch("timestamp")).write_parquet(path)
    return path


PEOPLE = {
    "u.user": "7|24|M|technician|85711\n2|53|F|other|94043\n",
    "users.dat": "7::M::24::17::85711\n2::F::53::0::94043\n",
    "x.user": "user_id:token\tage:token\tgender:token\toccupation:token\tzip:token\n"
    "7\t24\tM\ttechnician\t85711\n2\t53\tF\tother\t94043\n",
    "users.csv": "User ID,Sex,Age,Job,zip\n7,M,24,technician,85711\n2,F,53,other,94043\n2,F,1,twice,1\n",
    "users.jsonl": '{"id": "7", "age": 24, "gender": "M", "occupation": "technician", "zip": "85711"}\n'
    '{"id": "2", "age": 53, "gender": "F", "occupation": "other", "zip": "94043"}\n',
}


@pytest.mark.parametrize("name", PEOPLE)
def test_what_a_table_of_users_says_is_read_beside_every_log(tmp_path, name):
    put(tmp_path, "u.data", as_lines(ROWS, "\t"))
    table = put(tmp_path, name, PEOPLE[name])
    data = read_dataset(tmp_path)
    assert table in data.files
    assert set(data.people) == {"7", "2"}
    jobs = ("technician or engineer", "other") if name == "users.dat" else ("technician", "other")
    for user, expected in (("7", (24, "M", jobs[0])), ("2", (53, "F", jobs[1]))):
        assert tuple(data.people[user][field] for field in ("age", "gender", "occupation")) == expected
    table.write_bytes(b"\xff\n\n")
    assert not any(read_dataset(tmp_path).people.values())  # a log is read without it


TIMED = {
    "ml-100k": lambda f: put(f, "u.data", as_lines(ROWS, "\t")),
    "ml-1m": lambda f: put(f, "ratings.dat", as_lines(ROWS, "::")),
    "ml-20m": lambda f: put(f, "ratings.csv", as_lines(ROWS, ",", "userId,movieId,rating,timestamp\n")),
    "csv": lambda f: put(f, "x.csv", as_lines(ROWS, ",", "user,item,value,timestamp\n")),
    "csv, other names": lambda f: put(f, "x.csv", as_lines(ROWS, ";", "user_id;item_id;rating;time\n")),
    "tsv": lambda f: put(f, "x.tsv", as_lines(ROWS, "\t", "userId\tvideoId\tstars\tts\n")),
    "recbole": lambda f: put(
        f, "x/x.inter", as_lines(ROWS, "\t", "user_id:token\titem_id:token\trating:float\ttimestamp:float\n")
    ),
    "jsonl": lambda f: put(
        f, "x.jsonl", "\n".join(json.dumps({"user": u, "item": int(i), "value": s, "at": t}) for u, i, s, t in ROWS)
    ),
    "parquet": parquet,
}


@pytest.mark.parametrize("make", TIMED.values(), ids=TIMED.keys())
def test_every_timed_format_gives_the_same_log(tmp_path, make):
    data = read_dataset(make(tmp_path))
    assert sequences(data) == ORDERED
    assert data.timed
    assert data.users == ("7", "2")
    assert data.items == ("31", "10", "20")
    assert data.log.value.tolist() == [5, 3, 4, 1, 2]
    assert data.log.at.tolist() == [10, 20, 30, 5, 40]
    assert {EVENT_KINDS[k] for k in data.log.kinds} == {"rating"}
    assert data.repairs == {"unsorted": 1}
    assert data.interactions("watched").strength.tolist() == [1, 1, 1, 1, 1]
    assert data.interactions("liked").strength.tolist() == pytest.approx([1, 0.2, 0.6, -0.6, -0.2])


SEQUENCES = {
    "tab, heading": "user\titems_oldest_first\n7\t10 20 31\n2\t31 10\n",
    "tab, no heading": "7\t10 20 31\n2\t31 10\n",
    "blanks": "7 10 20 31\n2 31 10\n",
    "tabs": "7\t10\t20\t31\n2\t31\t10\n",
    "sasrec": "7 10\n7 20\n7 31\n2 31\n2 10\n",
}


@pytest.mark.parametrize("content", SEQUENCES.values(), ids=SEQUENCES.keys())
def test_every_ordered_text_gives_the_same_sequences(tmp_path, content):
    data = read_dataset(put(tmp_path, "s.txt", content))
    assert sequences(data) == ORDERED
    assert not data.timed
    assert data.ordered
    assert data.log.at.tolist() == [0, 1, 2, 0, 1]


def test_lightgcn_folder_is_one_log_without_order(tmp_path):
    put(tmp_path, "g/train.txt", "7 10 20 20\n2 31\n9\n")
    put(tmp_path, "g/test.txt", "7 31\n2 10\n")
    data = read_dataset(tmp_path / "g")
    assert sequences(data) == ORDERED
    assert not data.ordered
    assert data.repairs == {"users_without_items": 1, "duplicates": 1}


def test_gorse_export_with_its_items(tmp_path):
    feedback = [
        {"FeedbackType": "read", "UserId": "u", "ItemId": "b", "Timestamp": "2024-01-02T00:00:00Z", "Comment": ""},
        {"FeedbackType": "star", "UserId": "u", "ItemId": "a", "Timestamp": "2024-01-01T00:00:00Z", "Comment": ""},
        {"FeedbackType": "gift", "UserId": "u", "ItemId": "a", "Timestamp": "2024-01-01T00:00:00Z"},
    ]
    items = [
        {"ItemId": "a", "Categories": ["film"], "Labels": {"genre": ["Drama"], "embedding": [0.5]}, "Comment": "A"}
    ]
    put(tmp_path, "feedback.jsonl", "\n".join(map(json.dumps, feedback)))
    put(tmp_path, "items.jsonl", "\n".join(map(json.dumps, items)))
    data = read_dataset(tmp_path)
    assert data.format == "gorse"
    assert sequences(data) == {"u": ["a", "b"]}
    assert [EVENT_KINDS[k] for k in data.log.kinds] == ["like", "play"]
    assert data.repairs == {"unknown_kind": 1, "unsorted": 1}
    item = data.catalogue[data.items.index("a")]
    assert (item.title, item.tags, item.categories) == ("A", ("Drama",), ("film",))


def test_each_repair_is_counted(tmp_path):
    path = put(
        tmp_path,
        "x.csv",
        "user,item,value,timestamp,kind\n"
        "u,a,5,30,rating\n"
        "u,a,5,30,rating\n"  # duplicate
        "u,a,5,31,rating\n"  # a repeat at another time stays
        ",b,5,30,rating\n"  # missing user
        "u,,5,30,rating\n"  # missing item
        "u,b,5,,rating\n"  # missing time
        "u,b,5,soon,rating\n"  # a time that is none
        "u,b,good,10,rating\n"  # bad value, earlier than the row before
        "u,c,1,40,bought\n"  # unknown kind
        "u,,,50,search\n",  # no item by its kind
    )
    data = read_dataset(path)
    assert sequences(data) == {"u": ["b", "a", "a"]}
    assert np.isnan(data.log.value[0])
    assert data.repairs == {
        "no_item": 1, "missing": 4, "bad_value": 1, "unknown_kind": 1, "duplicates": 1, "unsorted": 1,
    }  # fmt: skip


def test_movielens_100k_lines_that_are_not_of_it_are_counted(tmp_path):
    path = put(tmp_path, "u.data", "0   50  5 881250949\n1\t2\t3\t4\n")
    data = read_dataset(path)
    assert data.repairs == {"unreadable": 1}
    assert data.users == ("1",)


def test_item_tables_beside_movielens(tmp_path):
    flags = "|".join("1" if k in (1, 5) else "0" for k in range(19))
    put(tmp_path, "a/u.data", "1\t31\t3\t4\n")
    put(tmp_path, "a/u.item", f"31|Misérables, Les (1995)|01-Jan-1995||url|{flags}\n".encode("latin-1"))
    put(tmp_path, "b/ratings.dat", "1::31::3::4\n")
    put(tmp_path, "b/movies.dat", "31::Misérables, Les (1995)::Action|Comedy\n".encode("latin-1"))
    put(tmp_path, "c/ratings.csv", "userId,movieId,rating,timestamp\n1,31,3,4\n")
    put(tmp_path, "c/movies.csv", 'movieId,title,genres\n31,"Misérables, Les (1995)",Action|Comedy\n')
    for name in "abc":
        (item,) = read_dataset(tmp_path / name).catalogue.values()
        assert (item.title, item.categories) == ("Misérables, Les (1995)", ("Action", "Comedy"))
        assert item.released == 788918400


def test_recbole_item_file(tmp_path):
    put(tmp_path, "m/m.inter", "user_id:token\titem_id:token\nu\ta\n")
    head = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    put(tmp_path, "m/m.item", head + "a\tToy Story\tV\tAnimation Comedy\n")
    data = read_dataset(tmp_path / "m")
    assert data.format == "recbole"
    assert (data.catalogue[0].title, data.catalogue[0].categories) == ("Toy Story", ("Animation", "Comedy"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.csv", "a,b,c\n1,2,3\n"), ("x.txt", "It was the best of times\nit was the worst of times\n"),
        ("x.bin", b"\x00\x01\x02"), ("x.txt", b""), ("x.mp4", "1 2 3\n"), ("x.parquet", b"PAR1"),
        ("x.jsonl", "[]\n{}\n"), ("x.txt", "1::2::3\n"),
    ],
)  # fmt: skip
def test_what_is_none_of_these_is_refused_with_the_reason(tmp_path, name, content):
    path = put(tmp_path, name, content)
    assert not is_dataset(path)
    with pytest.raises(MatineeError) as error:
        read_dataset(path)
    assert error.value.code == "dataset.unknown"
    assert "Looked for" in error.value.en
    assert "支持" in error.value.zh


def test_no_rows_no_path_and_an_unknown_format(tmp_path):
    with pytest.raises(MatineeError, match="no row"):
        read_dataset(put(tmp_path, "x.csv", "user,item\n,\n"))
    with pytest.raises(MatineeError, match="nothing at"):
        read_dataset(tmp_path / "none")
    with pytest.raises(MatineeError, match="'movielens'"):
        read_dataset(tmp_path, "movielense")
    assert len(FORMATS) == 5


def test_features_are_aligned_by_id(tmp_path):
    np.savez(tmp_path / "f.npz", ids=np.array([31, 10, 31]), text=np.array([[3.0, 4.0], [0, 0], [1, 1]]))
    features = read_features(tmp_path / "f.npz", ["10", "31", "99"])["text"]
    assert np.isnan(features[[0, 2]]).all()
    assert features[1].tolist() == pytest.approx([0.6, 0.8])
    np.savez(tmp_path / "o.npz", ids=np.array(["a", None], object), text=np.ones((2, 2)))
    with pytest.raises(MatineeError, match="plain arrays"):
        read_features(tmp_path / "o.npz", ["a"])
    np.save(tmp_path / "y.npy", np.ones(3))
    with pytest.raises(MatineeError, match="plain arrays"):
        read_features(tmp_path / "y.npy", ["a"])
    np.savez(tmp_path / "s.npz", ids=np.array(["a"]), text=np.ones((2, 2)))
    with pytest.raises(MatineeError, match="row for each id"):
        read_features(tmp_path / "s.npz", ["a"])


DATA = os.environ.get("MATINEE_DATA")


@pytest.mark.skipif(not DATA, reason="MATINEE_DATA names no folder with data/")
@pytest.mark.parametrize(
    ("name", "shape", "timed"),
    [
        ("ml-100k", (943, 1682, 100_000), True), ("ml-latest-small", (671, 9066, 100_004), True),
        ("ml-1m", (6040, 3416, 999_601), False), ("ml-1m/sequences.tsv", (6040, 3416, 999_601), False),
    ],
)  # fmt: skip
def test_the_real_sets(name, shape, timed):
    data = read_dataset(Path(DATA or "", "data", name))
    assert (len(data.users), len(data.items), len(data.log.at)) == shape
    assert data.timed == timed
    assert len(data.catalogue) == shape[1]
    assert all(item.title and item.categories for item in list(data.catalogue.values())[:50])


def test_a_data_set_as_nouns_for_the_store(tmp_path):
    put(tmp_path, "ratings.dat", as_lines(ROWS, "::"))
    put(tmp_path, "movies.dat", "31::A (1995)::Drama\n99::Never watched (1990)::War\n")
    data = read_dataset(tmp_path)
    items = [item for batch in items_of(data) for item in batch]
    assert [i.id for i in items] == ["31", "10", "20", "99"]
    assert items[0].title == "A (1995)"
    events = [event for batch in events_of(data) for event in batch]
    said = [(e.user, e.item, e.value, e.at) for e in events]
    assert said[:3] == [("7", "10", 5, 10), ("7", "20", 3, 20), ("7", "31", 4, 30)]
    assert {e.kind for e in events} == {"rating"}
    again = [event for batch in events_of(read_dataset(tmp_path)) for event in batch]
    assert again == events
    assert len({e.id for e in events}) == len(events)


def test_repeats_in_a_sequence_are_different_events(tmp_path):
    data = read_dataset(put(tmp_path, "s.txt", "u1 i1 i2 i1\nu2 i3\n"))
    events = [event for batch in events_of(data) for event in batch]
    assert [e.item for e in events] == ["i1", "i2", "i1", "i3"]
    assert len({e.id for e in events}) == 4
