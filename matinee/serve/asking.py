"""A question to the service and its answer as a form: what the API and the command line both say."""

from __future__ import annotations

import time

from matinee.errors import Language
from matinee.pipeline.filters import allowed
from matinee.pipeline.scenarios import SCENARIOS
from matinee.serve import find, forms, paging, words
from matinee.serve.answers import Answers
from matinee.serve.assemble import State
from matinee.serve.prior import narrowed
from matinee.serve.service import Answered, Ask, Service
from matinee.types import Ints, Limits, Query

PLAIN = Ask()


def recommendations(service: Service, user: str, n: int, ask: Ask, lang: Language) -> forms.Recommendations:
    """A slate for a user, best first; ``note`` says why it is short. Raises what ``Service.answer`` raises."""
    with service.lane:
        return recommended(service, user, n, ask, lang)


def recommended(service: Service, user: str, n: int, ask: Ask, lang: Language) -> forms.Recommendations:
    """The same by whoever holds ``service.lane``."""
    answered = service.answer(user, n, ask)
    slate, catalogue = answered.slate, answered.state.catalogue
    shown = (*answered.query.limits.shown, *slate.items.tolist())
    more = len(slate.items) == n and len(shown) < paging.MOST
    return forms.Recommendations(
        slate=slate.id,
        user=user,
        release=slate.release,
        items=Answers(catalogue, lang).recommended(slate),
        dropped=slate.dropped,
        ms={stage: round(value, 3) for stage, value in slate.ms.items()},
        scenario=ask.scenario,
        note=_note(answered, n, lang),
        next=paging.token_of(shown) if more else None,
        fallback=answered.fallback,
    )


def _note(answered: Answered, n: int, lang: Language) -> str | None:
    if answered.fallback:
        return words.said(answered.fallback[-1], lang)
    if len(answered.slate.items) >= n:
        return None
    if not len(answered.state.catalogue):
        return words.said("library", lang)
    return words.said("few" if len(answered.slate.items) else "nothing", lang)


def here(state: State, where: str, collection: str = "") -> Ints:
    """Rows that may be shown to anyone now. Raises ``where.wrong``."""
    return allowed(state.catalogue, Query(time.time(), limits=Limits(where=where, collection=collection)))


def open_to(state: State, ask: Ask) -> Ints:
    """Rows that a request may show, whoever asks. Raises ``where.wrong``."""
    return here(state, narrowed(ask), ask.collection)


def scenarios(lang: Language) -> forms.Scenarios:
    rows = (
        forms.ScenarioForm(
            scenario=name, about=words.pick((plan.about, plan.about_zh), lang), objective=plan.objective,
            seen=plan.seen, sources=plan.sources, exploration=plan.exploration,
        )
        for name, plan in SCENARIOS.items()
    )  # fmt: skip
    return forms.Scenarios(scenarios=tuple(rows))


def similar(service: Service, item: str, by: str, n: int, lang: Language, ask: Ask = PLAIN) -> forms.SimilarItems:
    """Items like one, of those that ``ask`` leaves. ``note`` says what is missing where there are none. Raises
    ``item.unknown`` or ``where.wrong``."""
    state = service.current()
    found = find.similar(state.catalogue, state.behaviour, service.row(state, item), by, n, open_to(state, ask))
    answers = Answers(state.catalogue, lang)
    items = tuple(
        forms.Similar(**answers.brief_fields(int(row)), score=round(float(score), 4), by=name)
        for row, score, name in zip(found.rows, found.score, found.by, strict=True)
    )
    missing = None if items else "untrained" if by == "behaviour" and not state.behaviour else "unlike"
    return forms.SimilarItems(item=item, by=by, items=items, note=words.said(missing, lang) if missing else None)


def search(service: Service, query: str, n: int, lang: Language, ask: Ask = PLAIN) -> forms.Hits:
    """What a few words mean, of the items that ``ask`` leaves; ``note`` says so where only words were compared."""
    state = service.current()
    vectors = service.reader.asked(query)
    found = find.search(state.catalogue, state.words, query, vectors, n, open_to(state, ask))
    answers = Answers(state.catalogue, lang)
    hits = tuple(
        forms.Hit(**answers.brief_fields(int(row)), score=round(float(score), 4), matched=name)
        for row, score, name in zip(found.rows, found.score, found.by, strict=True)
    )
    return forms.Hits(query=query, items=hits, note=None if vectors else words.said("lexical", lang))
