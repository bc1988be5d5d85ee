"""A data set as items and events for the store: what ``matinee ingest`` takes of a MovieLens folder or a text of
sequences, which no catalogue reader can read row by row."""

from __future__ import annotations

import math
from collections.abc import Iterator

from matinee.data.catalogue import BATCH, made_id
from matinee.data.datasets.frame import Dataset
from matinee.types import EVENT_KINDS, Event, Item


def items_of(data: Dataset) -> Iterator[list[Item]]:
    """Every item, known or only named by the log, in batches of 1,000; then those the log never names."""
    batch: list[Item] = []
    known = (data.catalogue.get(row) or Item(id=name) for row, name in enumerate(data.items))
    for item in (*known, *data.beyond):
        batch.append(item)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def events_of(data: Dataset) -> Iterator[list[Event]]:
    """Every row, a user's oldest first, in batches of 1,000. Ids are made of what the row says, which no other row of
    the data set says too (``frame``), so ingesting again changes nothing. Without real times ``at`` is the row's place,
    from 0: seconds after 1970, which keep the order and are never recent."""
    log = data.log
    columns = (log.users, log.items, log.kinds, log.at, log.value)
    for start in range(0, len(log.at), BATCH):
        batch = []
        rows = zip(*(column[start : start + BATCH].tolist() for column in columns), strict=True)
        for user_row, item_row, code, at, number in rows:
            user, item, kind = data.users[user_row], data.items[item_row], EVENT_KINDS[code]
            value = None if math.isnan(number) else number
            name = made_id((user, item, kind, at, value))
            batch.append(Event(id=name, user=user, item=item, kind=kind, at=at, value=value))
        yield batch
