"""Which files a watched folder hands over, at a clock of our own."""

from __future__ import annotations

import os
import threading

import pytest

from matinee.ingest.report import Report
from matinee.ingest.watch import Watch, follow


class Clock:
    def __init__(self, step=0.0):
        self.time, self.step = 1_000_000.0, step

    def __call__(self):
        self.time += self.step
        return self.time


@pytest.fixture
def clock():
    return Clock()


def put(path, size, at):
    path.write_bytes(b"x" * size)
    os.utime(path, (at, at))


def watch(folder, clock):
    return Watch([folder], still=5.0, clock=clock, now=clock)


def test_a_file_is_handed_over_when_it_is_still(tmp_path, clock):
    put(tmp_path / "old.mp4", 10, clock.time - 100)
    put(tmp_path / "new.mp4", 10, clock.time - 1)
    seen = watch(tmp_path, clock)
    assert seen.look()
    assert [p.name for p in seen.settled()] == ["old.mp4"]
    seen.done(seen.settled())
    for size in (20, 30):  # it goes on growing
        clock.time += 4
        put(tmp_path / "new.mp4", size, clock.time)
        assert not seen.look()
    clock.time += 4
    assert not seen.look()
    clock.time += 1.5
    assert seen.look()
    assert {p.name for p in seen.settled()} == {"old.mp4", "new.mp4"}
    seen.done(seen.settled())
    assert not seen.look()


def test_a_change_and_a_loss_are_seen_and_one_that_keeps_its_time_too(tmp_path, clock):
    path = tmp_path / "a.mp4"
    put(path, 10, clock.time - 100)
    seen = watch(tmp_path, clock)
    seen.look()
    seen.done(seen.settled())
    put(path, 11, clock.time - 100)  # a copy that sets the time of its source: its size is new
    assert not seen.look()
    clock.time += 6
    assert seen.look()
    seen.done(seen.settled())
    path.unlink()
    assert seen.look()


def test_rounds_are_told_only_when_they_did_something(tmp_path):
    clock = Clock(step=0.5)
    put(tmp_path / "a.mp4", 10, clock.time - 100)
    stop, told, left = threading.Event(), [], []
    reports = [Report(taken=1), Report(unchanged=1), Report(refused=1)]

    def take_in(leave):
        left.append([leave(tmp_path / name) for name in ("a.mp4", "b.mp4")])
        put(tmp_path / "b.mp4", len(left), clock.time - 100 + len(left))
        clock.time += 10
        if len(left) == 3:
            stop.set()
        return reports[len(left) - 1]

    follow(watch(tmp_path, clock), take_in, told.append, stop, every=0.0)
    assert left == [[False, True], [False, False], [False, False]]
    assert told == [reports[0], reports[2]]
