"""Data sets as they are shipped become a library: once, in order, with what lies beside them."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from PIL import Image

from matinee.cli.app import run
from matinee.data.datasets.table import FORMATS
from matinee.ingest import ingest
from matinee.settings import SETTINGS, Library
from matinee.store import open_store
from matinee.train import read
from tests import made

# user, item, stars, time
ROWS = [("7", "31", 4, 30), ("7", "10", 5, 10), ("2", "31", 1, 5), ("7", "20", 3, 20), ("2", "10", 2, 40)]
ORDERED = {"7": ["10", "20", "31"], "2": ["31", "10"]}
FILMS = "31::The thing (1995)::Drama|War\n99::Never watched (1990)::Comedy\n"
GORSE_ITEMS = [
    {"ItemId": "31", "Categories": ["Drama"], "Labels": {"tone": ["dark"]}, "Comment": "The thing", "IsHidden": False},
    {"ItemId": "99", "Categories": ["Comedy"], "Labels": [], "Comment": "Never watched", "IsHidden": False},
]


def put(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def test_what_is_said_of_users_is_kept(tmp_path):
    """Beside a data set, in a catalogue, and in a table that comes alone; a later row replaces, one of an id alone
    takes nothing away."""
    library = Library.create(tmp_path / "library")
    folder = movielens("ratings.dat", "::")(tmp_path / "data")
    put(folder, "users.dat", "7::M::25::0::85711\n5::F::18::20::1\n")
    alone = put(tmp_path, "u.user", "8|24|M|writer|85711\n")
    table = put(tmp_path, "viewers.csv", "user,country,age\n2,CN,40-50\n7,,\n")
    store = open_store(library.database)
    report = ingest(library, store, [folder, alone, table])
    assert (report.profiles, report.refused, report.rejected) == (4, 0, 0)
    assert store.profile("7") == {"gender": "M", "age": 25, "occupation": "other", "zip": "85711"}
    assert store.profile("5")["occupation"] == "writer"  # who has done nothing yet
    assert store.profile("8")["age"] == 24
    assert store.profile("2") == {"country": "CN", "age": "40-50"}
    table.write_text("user,country,age\n2,FR,\n")
    ingest(library, store, [table])
    assert store.profile("2") == {"country": "FR"}
    store.close()


def lines(separator, head=""):
    return head + "".join(separator.join(map(str, row)) + "\n" for row in ROWS)


def jsonl(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def gorse(folder):
    rows = [
        {"FeedbackType": "watch", "UserId": u, "ItemId": i, "Timestamp": f"1970-01-01T00:00:{t}Z"}
        for u, i, _, t in ROWS
        if t >= 10
    ]
    rows.append({"FeedbackType": "watch", "UserId": "2", "ItemId": "31", "Timestamp": "1970-01-01T00:00:05Z"})
    put(folder, "feedback.jsonl", jsonl(rows))
    put(folder, "items.jsonl", jsonl(GORSE_ITEMS))
    return folder


def movielens(name, separator, head=""):
    def make(folder):
        put(folder, name, lines(separator, head))
        put(folder, "movies.dat", FILMS)
        return folder

    return make


def parquet(folder):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "log.parquet"
    pl.DataFrame([{"user": u, "item": i, "stars": float(s), "timestamp": t} for u, i, s, t in ROWS]).write_parquet(path)
    put(folder, "items.csv", "id,title\n31,The thing\n10,\n20,\n99,Never watched\n")
    return folder


def table(name, content):
    def make(folder):
        put(folder, name, content)
        put(folder, "items.csv", "id,title\n31,The thing\n10,\n20,\n99,Never watched\n")
        return folder

    return make


def recbole(folder):
    put(folder, "x.inter", lines("\t", "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"))
    put(
        folder,
        "x.item",
        "item_id:token\tmovie_title:token_seq\tclass:token_seq\n31\tThe thing\tDrama\n99\tNever watched\tWar\n",
    )
    return folder


SEQUENCES = "user\titems_oldest_first\n7\t10 20 31\n2\t31 10\n"
SHIPPED = {
    "ml-100k": movielens("u.data", "\t"),
    "ml-1m": movielens("ratings.dat", "::"),
    "ml-20m": movielens("ratings.csv", ",", "userId,movieId,rating,timestamp\n"),
    "recbole": recbole,
    "gorse": gorse,
    "csv": table("events.csv", lines(",", "user,item,value,timestamp\n")),
    "jsonl": table("events.jsonl", jsonl({"user": u, "item": i, "value": s, "at": t} for u, i, s, t in ROWS)),
    "parquet": parquet,
    "sequences": lambda f: put(f, "sequences.tsv", SEQUENCES).parent,
    "sasrec": lambda f: put(f, "log.txt", "7 10\n7 20\n7 31\n2 31\n2 10\n"),
}


@pytest.fixture
def library(tmp_path):
    """One that reads nothing but tables: no checkpoint is needed."""
    made_here = Library.create(tmp_path / "library")
    (made_here.path / SETTINGS).write_text("encoders = []\n")
    return Library.open(made_here.path)


@pytest.fixture
def store(library):
    with_store = open_store(library.database)
    yield with_store
    with_store.close()


def orders(store):
    log, items, users = store.log(), dict(store.items()), dict(store.users())
    found = {}
    for at in np.lexsort((log.sequence, log.at)):
        found.setdefault(users[int(log.users[at])], []).append(items[int(log.items[at])].id)
    return found


@pytest.mark.parametrize("make", SHIPPED.values(), ids=SHIPPED.keys())
def test_every_format_becomes_the_same_library(library, store, tmp_path, make):
    root = make(tmp_path / "shipped")
    report = ingest(library, store, [root])
    assert report.refused == 0, report.notes
    assert report.events == 5
    assert orders(store) == ORDERED
    again = ingest(library, store, [root])
    assert (again.events, again.repeated) == (0, 0)
    assert again.unchanged >= 1
    assert store.counts().events == 5
    titles = {item.id: item.title for _, item in store.items()}
    if root.is_dir() and not (root / "sequences.tsv").exists():
        assert titles["31"].startswith("The thing")
        assert titles["99"].startswith("Never watched")
    assert len(read(store)) == 5


def test_every_format_of_evaluate_is_walked():
    assert set(FORMATS) == {"movielens", "table", "lightgcn", "sasrec", "sequences"}  # a new one is to be walked here


def test_lightgcn_both_files(library, store, tmp_path):
    put(tmp_path / "g", "train.txt", "0 1 2 3\n1 3 1\n")
    put(tmp_path / "g", "test.txt", "0 4\n1 2\n")
    assert ingest(library, store, [tmp_path / "g"]).events == 7
    assert sorted(orders(store)["0"]) == ["1", "2", "3", "4"]


def test_a_longer_log_adds_what_is_new(library, store, tmp_path):
    root = SHIPPED["ml-1m"](tmp_path / "ml")
    ingest(library, store, [root])
    with (root / "ratings.dat").open("a") as file:
        file.write("9::31::5::99\nbroken\n")
    report = ingest(library, store, [root])
    assert (report.events, report.repeated, report.rejected) == (1, 5, 1)
    assert any("unreadable 1" in note.en for note in report.notes if note.status == "dataset")


def test_what_is_known_of_an_item_is_not_lost_to_a_bare_log(library, store, tmp_path):
    ingest(library, store, [put(tmp_path, "films.csv", "id,title\n31,The thing\n")])
    ingest(library, store, [put(tmp_path, "u.data", lines("\t"))])
    assert store.item("31").title == "The thing"
    assert store.item("10").title == ""


def test_vectors_by_item(library, store, tmp_path):
    root = SHIPPED["ml-100k"](tmp_path / "ml")
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3, 8)).astype(np.float32)
    np.savez(root / "sound.npz", id=np.array([31, 99, 12345]), sound=rows)
    np.savez(root / "none.npz", id=np.array([1.5, 2.5]), x=np.zeros((2, 2)))
    report = ingest(library, store, [root])
    (space,) = store.spaces()
    assert space.name == "sound"
    assert space.dim == 8
    found, vectors = store.vectors(space)
    assert {store_id for row, store_id in ((r, i.id) for r, i in store.items()) if row in found} == {"31", "99"}
    assert vectors == pytest.approx(rows[:2] / np.linalg.norm(rows[:2], axis=1, keepdims=True), abs=1e-6)
    assert [note.path.rsplit("/", 1)[-1] for note in report.notes if note.status == "refused"] == ["none.npz"]
    assert np.isfinite(read(store).features["sound"]).all(axis=1).sum() == 2
    ingest(library, store, [root, root / "sound.npz"])
    assert len(store.vectors(space)[0]) == 2


def test_posters_are_covers_and_never_items(library, store, tmp_path):
    root = SHIPPED["ml-1m"](tmp_path / "ml")
    (root / "posters").mkdir()
    for name in ("31", "10", "99", "777"):
        Image.fromarray(made.scene(int(name), 96, 64)).save(root / "posters" / f"{name}.jpg")
    ingest(library, store, [root])
    items = {item.id: item for _, item in store.items()}
    assert set(items) == {"31", "10", "20", "99"}
    assert {name for name, item in items.items() if item.cover} == {"31", "10", "99"}
    assert all(item.media is None for item in items.values())
    assert (library.path / items["99"].cover).read_bytes()[:2] == b"\xff\xd8"
    assert items["31"].title.startswith("The thing")
    again = ingest(library, store, [root])
    assert again.taken == 0
    assert {name for name in ("31", "10", "99") if store.item(name).cover} == {"31", "10", "99"}


def test_a_folder_of_media_stays_one(library, store, tmp_path):
    """Ratings beside films are a catalogue of that folder; its films are items."""
    root = SHIPPED["ml-20m"](tmp_path / "films")
    frames = np.stack([made.scene(n // 10, 96, 128, n) for n in range(20)])
    made.write_media(root / "clip.mp4", frames, made.piano(seconds=2.0))
    ingest(library, store, [root])
    assert "clip.mp4" in {item.id for _, item in store.items()}


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("notes.txt", "Dear diary, nothing here is a log.\n", "not a data set"),
        ("ratings.dat", "hello\nworld\n", "not a data set"),
        ("x.inter", "user_id:token\titem_id:token\n", "no row"),
        ("prices.csv", "price,currency\n3,EUR\n", "its columns"),
    ],
)
def test_a_file_that_is_none_of_these_is_refused_with_the_reason(library, tmp_path, capsys, name, content, why):
    file = put(tmp_path / "in", name, content)
    run(["ingest", str(file), "--library", str(library.path), "--json"])
    report = json.loads(capsys.readouterr().out)
    assert report["refused"] == 1
    assert why in report["notes"][0]["en"]
    assert report["notes"][0]["zh"] != report["notes"][0]["en"]


def test_the_command_takes_a_data_set_and_training_follows(library, tmp_path, capsys):
    rng = np.random.default_rng(1)
    rows = [
        f"{u}::{i}::{3 + (u + i) % 3}::{1000 + t}" for u in range(40) for t, i in enumerate(rng.permutation(30)[:9])
    ]
    put(tmp_path / "ml", "ratings.dat", "\n".join(rows) + "\n")
    assert run(["ingest", str(tmp_path / "ml"), "--library", str(library.path)]) == 0
    capsys.readouterr()
    assert run(["train", "--library", str(library.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["release"]
