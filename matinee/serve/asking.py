"""A question to the service and its answer as a form: what the API and the command line both say."""

from __future__ import annotations

from matinee.errors import Language
from matinee.serve import find, forms, words
from matinee.serve.answers import Answers
from matinee.serve.service import Ask, Service
from matinee.types import Slate


def recommendations(service: Service, user: str, n: int, ask: Ask, lang: Language) -> forms.Recommendations:
    """A slate for a user, best first; ``note`` says why it is short."""
    slate, state = service.recommend(user, n, ask)
    return forms.Recommendations(
        slate=slate.id,
        user=user,
        release=slate.release,
        items=Answers(state.catalogue, lang).recommended(slate),
        dropped=slate.dropped,
        ms={stage: round(value, 3) for stage, value in slate.ms.items()},
        note=_note(slate, n, len(state.catalogue), lang),
    )


def _note(slate: Slate, n: int, living: int, lang: Language) -> str | None:
    if len(slate.items) >= n:
        return None
    return words.said("library" if not living else "few" if len(slate.items) else "nothing", lang)


def similar(service: Service, item: str, by: str, n: int, lang: Language) -> forms.SimilarItems:
    """Items like one. ``note`` says what is missing where there are none. Raises ``item.unknown``."""
    state = service.current()
    found = find.similar(state.catalogue, state.behaviour, service.row(state, item), by, n)
    answers = Answers(state.catalogue, lang)
    items = tuple(
        forms.Similar(**answers.brief_fields(int(row)), score=round(float(score), 4), by=name)
        for row, score, name in zip(found.rows, found.score, found.by, strict=True)
    )
    missing = None if items else "untrained" if by == "behaviour" and not state.behaviour else "unlike"
    return forms.SimilarItems(item=item, by=by, items=items, note=words.said(missing, lang) if missing else None)


def search(service: Service, query: str, n: int, lang: Language) -> forms.Hits:
    """What a few words mean; ``note`` says so where only words were compared."""
    state = service.current()
    vector = service.reader.encode(query)
    found = find.search(state.catalogue, state.words, query, vector, n)
    answers = Answers(state.catalogue, lang)
    hits = tuple(
        forms.Hit(**answers.brief_fields(int(row)), score=round(float(score), 4), matched=name)
        for row, score, name in zip(found.rows, found.score, found.by, strict=True)
    )
    return forms.Hits(query=query, items=hits, note=None if vector is not None else words.said("lexical", lang))
