"""Whatever a file holds, every row is accounted for, and nothing but a MatineeError comes out."""

import contextlib
import csv
import io
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from matinee.data.catalogue import read_catalogue, read_items
from matinee.errors import MatineeError


@given(st.binary(max_size=300), st.sampled_from([".csv", ".jsonl", ".tsv"]), st.booleans())
def test_any_bytes(content, suffix, with_header):
    header = b'{"id":1,"title":"t"}\n' if suffix == ".jsonl" else b"id,title,duration\n"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"items{suffix}")
        path.write_bytes((header if with_header else b"") + content)
        with contextlib.suppress(MatineeError):
            table = read_catalogue(path)
            nouns = [n for batch in table.batches() for n in batch]
            report = table.report
            assert report.rows == report.taken + report.duplicates + report.refused
            assert len(nouns) == report.taken == len({n.id for n in nouns})


cell = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20).filter(lambda t: t.strip() == t)


@given(st.lists(st.tuples(cell, cell), max_size=20, unique_by=lambda r: r[0]))
def test_csv_round_trip(pairs):
    out = io.StringIO()
    csv.writer(out).writerows([("id", "title"), *pairs])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "items.csv")
        path.write_text(out.getvalue(), encoding="utf-8", newline="")
        items = [i for batch in read_items(path).batches() for i in batch]
    assert [(i.id, i.title) for i in items] == pairs
