"""Whatever lies at a path, readers of data sets answer with a log that keeps its promises, or with a MatineeError."""

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from matinee.data.datasets.features import read_features
from matinee.data.datasets.table import read_dataset
from matinee.errors import MatineeError

HEADS = {
    "x.csv": b"user,item,value,timestamp,kind\n", "x.jsonl": b'{"user":1,"item":2}\n', "x.tsv": b"user\titem\n",
    "x.inter": b"user_id:token\titem_id:token\trating:float\n", "x.txt": b"1 2 3\n", "u.data": b"1\t2\t3\t4\n",
    "ratings.dat": b"1::2::3::4\n", "ratings.csv": b"userId,movieId,rating,timestamp\n", "x.parquet": b"PAR1",
}  # fmt: skip
pieces = st.sampled_from(
    [b",", b"\t", b"::", b"\n", b"1", b"2", b"5.0", b"9e99", b"nan", b'"', b"u", b"\xff", b"like", b" "]
)


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(sorted(HEADS)), st.lists(pieces, max_size=60).map(b"".join) | st.binary(max_size=200))
def test_any_bytes_behind_a_heading(name, content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(HEADS[name] + content)
        try:
            data = read_dataset(path)
        except MatineeError:
            return
    log = data.log
    n = len(log.at)
    assert n > 0
    assert len(log.users) == len(log.items) == len(log.kinds) == len(log.value) == n
    assert np.isfinite(log.at).all()
    assert not np.isinf(log.value).any()
    assert 0 <= log.users.min() <= log.users.max() < len(data.users) == len(set(data.users))
    assert 0 <= log.items.min() <= log.items.max() < len(data.items) == len(set(data.items))
    assert (np.lexsort((log.at, log.users)) == np.arange(n)).all()
    assert all(data.users)
    assert all(data.items)
    assert all(count > 0 for count in data.repairs.values())


rows = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6), st.integers(0, 9)), min_size=1, max_size=30)


@settings(max_examples=60, deadline=None)
@given(rows, st.randoms(use_true_random=False))
def test_the_order_and_repetition_of_rows_do_not_matter(rows, random):
    """With distinct times a user, the same rows shuffled and doubled give the same sequences."""
    rows = list({(u, t): (u, i, t) for u, i, t in rows}.values())
    shuffled = [*rows, *rows]
    random.shuffle(shuffled)
    said = []
    with tempfile.TemporaryDirectory() as folder:
        for lines in (rows, shuffled):
            path = Path(folder, "x.csv")
            path.write_text("user,item,timestamp\n" + "".join(f"{u},{i},{t}\n" for u, i, t in lines))
            data = read_dataset(path)
            of = [[] for _ in data.users]
            for u, i, t in zip(data.log.users, data.log.items, data.log.at, strict=True):
                of[u].append((data.items[i], t))
            said.append(dict(zip(data.users, of, strict=True)))
    assert said[0] == said[1]
    assert data.repairs.get("duplicates", 0) == len(rows)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_as_features(content, zipped):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "f.npz")
        path.write_bytes((b"PK\x03\x04" if zipped else b"") + content)
        try:
            read_features(path, ["a"])
        except MatineeError:
            return
    raise AssertionError("bytes of chance were taken for features")
