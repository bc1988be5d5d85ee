"""The words in an item: what is said (fact ``transcript``) and what stands written (``seen_text``), as facts for
showing, as a vocabulary for matching words (fact ``words``), and as vectors for meaning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from matinee.ingest.run import Run, put_rows, speech_rows
from matinee.media.timed import Transcript
from matinee.pipeline.tokens import vocabulary
from matinee.types import Floats, Space

TOLD = ("subtitle", "lyrics")  # where a transcript comes from that nobody needed to hear
WITHIN = "speech", "written"  # spaces of vectors of text, comparable with those of text
TAGS = 6  # topics kept, as many as of an item without words


def words_fact(transcript: Any, seen: Any) -> str | None:
    """The vocabulary of the facts ``transcript`` and ``seen_text``; None where there is none."""
    said = Transcript.of(transcript)
    lines = [line[2] for line in said.lines] if said else []
    return vocabulary([*lines, *written_lines(seen)]) or None


def written_lines(seen: Any) -> list[str]:
    return [str(row[0]) for row in seen if isinstance(row, list | tuple) and row] if isinstance(seen, list) else []


def facts_of_words(old: Mapping[str, Any], digest: str, told: Transcript | None) -> dict[str, Any]:
    """The facts of an item that is read anew. Subtitles and lyrics go first; what was heard and seen in the very same
    bytes before stays; anything else that is there is put away (null)."""
    same = {name: (old.get(name) or {}).get("hash") == digest for name in ("heard", "written")}
    heard = old.get("transcript") if same["heard"] and (old.get("transcript") or {}).get("from") not in TOLD else None
    seen = old.get("seen_text") if same["written"] else None
    transcript = told.fact() if told else heard
    facts = {"transcript": transcript, "seen_text": seen, "words": words_fact(transcript, seen)}
    return {key: value for key, value in facts.items() if value is not None or old.get(key) is not None}


def put_words(run: Run, items: Sequence[str], digest: str, found: Mapping[str, Any]) -> None:
    """Keeps the facts ``found`` (``transcript`` or ``seen_text``, and what says that the file was gone through) for
    items of the same bytes, with vocabulary, vector and topics. One transaction an item."""
    made = vectors_of_words(run, [found])[0]
    for item in items:
        if run.store.item(item) is None:  # deleted meanwhile
            continue
        old = run.store.facts(item)
        both = {key: old.get(key) for key in ("transcript", "seen_text")} | dict(found)
        facts = dict(found) | {"words": words_fact(both["transcript"], both["seen_text"])}
        if made and run.topics is not None:
            facts["topics"] = merged(old.get("topics"), run.topics.of({s.name: row for s, row in made.items()}))
        with run.store.together():
            for known, row in made.items():
                if put_rows(run.store, known, [digest], row):
                    run.store.link_content(item, known, digest)
            for key, value in facts.items():
                if value is not None or old.get(key) is not None:
                    run.store.put_fact(item, key, value)


def vectors_of_words(run: Run, facts: Sequence[Mapping[str, Any]]) -> list[dict[Space, Floats]]:
    """For the facts of each item, (1, dim) vectors of what is said and of what stands written, by space."""
    said = [Transcript.of(fact.get("transcript")) for fact in facts]
    spoken = speech_rows(run, [told.text if told else "" for told in said])
    seen = speech_rows(run, ["\n".join(written_lines(fact.get("seen_text"))) for fact in facts])
    named = [{replace(space, name=WITHIN[1]): row for space, row in rows.items()} for rows in seen]
    return [one | other for one, other in zip(spoken, named, strict=True)]


def merged(old: Any, fresh: Sequence[Any]) -> list[list[object]]:
    """Topics of before and of these words, the surest first, each once."""
    rows = [list(t) for t in old if isinstance(t, list | tuple) and len(t) == 4] if isinstance(old, list) else []
    rows = [t for t in rows if t[3] not in {f.by for f in fresh}] + [[t.en, t.zh, t.confidence, t.by] for t in fresh]
    best: dict[object, list[object]] = {}
    for row in sorted(rows, key=lambda t: -float(t[2])):
        best.setdefault(row[0], row)
    return list(best.values())[:TAGS]
