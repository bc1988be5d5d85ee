"""A library made in Python: a catalogue and a log as files, training, and what to show somebody. Run it like this::

    python examples/own_catalogue.py FOLDER

It needs the text weights (``matinee weights fetch text``); the folder becomes a library.
"""

from __future__ import annotations

import sys
from pathlib import Path

from matinee.ingest import ingest
from matinee.serve.answers import Answers
from matinee.serve.service import Ask, Service
from matinee.settings import Library
from matinee.store import open_store
from matinee.train import train

SETTINGS = 'encoders = ["text"]  # there is nothing to see or hear here\n'
TALKS = """id,title,tags,collection
bread,How to bake sourdough bread,baking|kitchen,talks
pizza,Neapolitan pizza at home,baking|kitchen,talks
stars,A night at the observatory,astronomy|science,talks
moons,The moons of Jupiter,astronomy|science,talks
violin,First lessons on the violin,music,talks
drums,Keeping time on the drums,music,talks
"""
WATCHED = """user,item,kind,at
ann,bread,finish,2026-01-01T10:00:00
ann,pizza,finish,2026-01-02T10:00:00
bob,stars,finish,2026-01-01T11:00:00
bob,moons,like,2026-01-03T11:00:00
cem,violin,finish,2026-01-02T12:00:00
cem,drums,play,2026-01-04T12:00:00
dora,bread,like,2026-01-05T09:00:00
"""


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "matinee.toml").write_text(SETTINGS)
    (folder / "talks.csv").write_text(TALKS)
    (folder / "watched.csv").write_text(WATCHED)
    library = Library.create(folder)
    store = open_store(library.database)
    try:
        print(ingest(library, store, [folder / "talks.csv", folder / "watched.csv"]).say())
        print("release", train(library, store))
        service = Service(library, store)
        slate, state = service.recommend("dora", 3, Ask())
        for item in Answers(state.catalogue).recommended(slate):
            print(f"{item.title}: {'; '.join(reason.text for reason in item.reasons)}")
    finally:
        store.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
