"""Catalogue files: what is taken, what is refused and why."""

import json
from datetime import datetime

import polars as pl
import pytest

from matinee.data.catalogue import read_catalogue, read_events, read_items, sniff
from matinee.errors import MatineeError


def everything(table):
    return [noun for batch in table.batches() for noun in batch]


def write(folder, name, text):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_items_of_csv_with_other_peoples_headings(tmp_path):
    path = write(
        tmp_path,
        "films.csv",
        "movieId,title,genres,director,actors,year,runtime,length\n"
        "1,Toy Story,Animation|Comedy|Animation,J L,Tom|Tim,1995,81 min,1:21:00\n"
        "2,,,,,,,\n",
    )
    table = read_catalogue(path)
    assert table.kind == "items"
    first, second = everything(table)
    assert (first.id, first.title, first.categories) == ("1", "Toy Story", ("Animation", "Comedy"))
    assert first.creators == ("J L", "Tom", "Tim")
    assert first.released == datetime.fromisoformat("1995-01-01T00:00:00+00:00").timestamp()
    assert first.duration == 4860
    assert first.properties == {"runtime": "81 min"}
    assert second == type(second)(id="2")
    assert table.report.taken == 2
    assert table.report.bad == []


def test_bad_rows_are_reported_with_number_and_reason_and_the_rest_goes_on(tmp_path):
    path = write(
        tmp_path,
        "items.csv",
        b"\xef\xbb\xbfid,title,duration\n1,a,10\n,b,10\n2,c,ten\n3,d\n1,again,5\n4,\xff\xfe,1\n5,e,-1\n6,f,6\n",
    )
    table = read_catalogue(path)
    assert [i.id for i in everything(table)] == ["1", "6"]
    bad = {b.row: b.reason for b in table.report.bad}
    assert set(bad) == {3, 4, 5, 7, 8}
    assert "without an id" in bad[3]
    assert "duration" in bad[4]
    assert "2 cells where the header has 3" in bad[5]
    assert "UTF-8" in bad[7]
    assert "below zero" in bad[8]
    assert (table.report.rows, table.report.duplicates, table.report.refused) == (8, 1, 5)
    assert "row 4" in table.report.say()


def test_events_of_csv_jsonl_and_parquet_are_the_same(tmp_path):
    rows = [
        {"user_id": 7, "item_id": 1, "event_type": "view", "timestamp": 1_500_000_000, "value": 0.5},
        {"user_id": 7, "item_id": 2, "event_type": "like", "timestamp": 1_500_000_001, "value": None},
    ]
    csv = write(tmp_path, "log.csv", pl.DataFrame(rows).write_csv())
    jsonl = write(tmp_path, "log.jsonl", "\n".join(json.dumps(r) for r in rows))
    parquet = tmp_path / "log.parquet"
    pl.DataFrame(rows).write_parquet(parquet)
    read = [everything(read_catalogue(p)) for p in (csv, jsonl, parquet)]
    assert read[0] == read[1] == read[2]
    assert [(e.user, e.item, e.kind, e.at, e.value) for e in read[0]] == [
        ("7", "1", "play", 1.5e9, 0.5),
        ("7", "2", "like", 1.5e9 + 1, None),
    ]


@pytest.mark.parametrize(
    ("written", "at"),
    [
        ("1500000000", 1.5e9), ("1500000000000", 1.5e9), ("1500000000000000", 1.5e9), ("0", 0.0), ("12.5", 12.5),
        ("2017-07-14T02:40:00Z", 1.5e9), ("2017-07-14 04:40:00+02:00", 1.5e9), ("2017-07-14", 1499990400.0),
        ("nan", None), ("inf", None), ("-5", None), ("1e308", None), ("yesterday", None), ("", None),
    ],
)  # fmt: skip
def test_times(tmp_path, written, at):
    table = read_events(write(tmp_path, "e.csv", f"user,item,at\nu,i,{written}\n"))
    assert [e.at for e in everything(table)] == ([] if at is None else [at])
    assert table.report.refused == (at is None)


def test_the_same_row_read_again_has_the_same_id_and_counts_as_a_duplicate(tmp_path):
    path = write(tmp_path, "e.csv", "user,item,rating,timestamp\nu,i,4,9\nu,i,4,9\nu,i,5,9\n")
    once, again = read_events(path), read_events(path)
    events = everything(once)
    assert [e.value for e in events] == [4, 5]
    assert {e.kind for e in events} == {"rating"}
    assert everything(again) == events
    assert once.report.duplicates == 1


def test_an_unknown_kind_is_refused_with_the_nearest(tmp_path):
    table = read_events(write(tmp_path, "e.csv", "user,item,kind,at\nu,i,liek,9\nu,,play,9\nu,,search,9\n"))
    assert [e.kind for e in everything(table)] == ["search"]
    assert "'like'" in table.report.bad[0].reason
    assert "without an item" in table.report.bad[1].reason


def test_events_without_a_time_column_keep_the_order_of_the_file(tmp_path):
    table = read_events(write(tmp_path, "e.csv", "user,item\nu,b\nu,a\n"))
    assert [(e.item, e.at) for e in everything(table)] == [("b", 2.0), ("a", 3.0)]
    assert table.report.untimed == 2


def test_tags_of_users_are_comments(tmp_path):
    path = write(tmp_path, "tags.csv", "userId,movieId,tag,timestamp\n1,2,dark,9\n1,2,slow,9\n1,2,dark,9\n")
    table = read_events(path)
    assert [(e.kind, e.text) for e in everything(table)] == [("comment", "dark"), ("comment", "slow")]
    assert table.report.duplicates == 1


def test_jsonl_lists_properties_and_broken_lines(tmp_path):
    path = write(
        tmp_path,
        "items.jsonl",
        '{"id": "a", "title": "A", "tags": ["x", "y"], "licence": "CC0", "properties": {"credit": "me"}}\n'
        '{"id": "b", "title": \n\n[1]\n{"id": true, "title": "t"}\n{"id": "c", "title": ["no"]}\n' + "[" * 5000 + "\n",
    )
    table = read_items(path)
    (item,) = everything(table)
    assert item.tags == ("x", "y")
    assert item.properties == {"licence": "CC0", "credit": "me"}
    assert [b.row for b in table.report.bad] == [2, 4, 5, 6, 7]


def test_sniff(tmp_path):
    def kind(name, head):
        return sniff(write(tmp_path, name, head + "\n1,2,3\n"))

    assert kind("a.csv", "user,item,value") == "events"
    assert kind("b.csv", "id,title,tags") == "items"
    assert kind("users.csv", "id,name,age") == "users"
    assert kind("c.csv", "user_id,age,city") == "users"
    assert kind("d.tsv", "item_id\ttitle\tx") == "items"
    assert kind("tags.csv", "userId,movieId,tag,timestamp") == "events"
    with pytest.raises(MatineeError):
        kind("links.csv", "movieId,imdbId,tmdbId")
    with pytest.raises(MatineeError) as error:
        kind("e.csv", "x,y,z")
    assert error.value.code == "catalogue.unknown"
    assert "x, y, z" in error.value.en
    with pytest.raises(MatineeError, match="must end in"):
        sniff(write(tmp_path, "film.mp4", b"\0\0"))


def test_what_is_no_parquet_is_refused(tmp_path):
    with pytest.raises(MatineeError) as error:
        read_catalogue(write(tmp_path, "x.parquet", b"PAR1 not really"))
    assert error.value.code == "catalogue.unreadable"


def test_an_empty_file_is_refused(tmp_path):
    for name in ("x.csv", "x.jsonl"):
        with pytest.raises(MatineeError, match="nothing"):
            read_catalogue(write(tmp_path, name, b""))
