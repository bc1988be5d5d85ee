"""From rows and arrays to the forms of the API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from matinee.encoders.labels import label_in
from matinee.errors import Language
from matinee.pipeline.catalogue import Catalogue
from matinee.serve import forms, words
from matinee.serve.address import API, address
from matinee.types import Event, Item, Reason, Slate

SOUND = (".mp3", ".ogg", ".oga", ".opus", ".wav", ".flac", ".m4a", ".aac", ".wma", ".aif", ".aiff")
BRIEFS = 20_000  # items of which a catalogue keeps what lists say of them
PICTURE = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True, slots=True)
class Answers:
    """Tells what a catalogue holds in one language."""

    catalogue: Catalogue
    lang: Language = "en"

    def title(self, row: int) -> str:
        item = self.catalogue.items[row] if 0 <= row < self.catalogue.size else None
        return self.titled(item) if item else ""

    def titled(self, item: Item) -> str:
        """The title in the language of the answer (``properties.title_zh``, ``title_en``), else as it is; without any
        the id."""
        told = item.properties.get(f"title_{self.lang}")
        return told if isinstance(told, str) and told.strip() else item.title or item.id

    def brief(self, row: int) -> forms.Brief:
        return forms.Brief(**self.brief_fields(row))

    def brief_fields(self, row: int) -> dict[str, Any]:
        """What every list says of an item; made once for each catalogue and language, of the items last asked for. Not
        to be changed."""
        briefs = self.catalogue.briefs
        if (known := briefs.get((row, self.lang))) is None:
            if len(briefs) >= BRIEFS:
                briefs.clear()
            known = briefs[row, self.lang] = self._brief_fields(row)
        return known

    def _brief_fields(self, row: int) -> dict[str, Any]:
        item = self.catalogue.item(row)
        return {
            "item": item.id,
            "title": self.titled(item),
            "collection": item.collection,
            "categories": item.categories,
            "duration": self.duration(row, item),
            "cover": f"{API}/{address('items', item.id, 'cover')}" if row in self.catalogue.covers else None,
            "play": f"{API}/{address('items', item.id, 'media')}" if item.media else None,
            "kind": self.kind(row, item),
            "about": tuple(words.pick(pair, self.lang) or pair[0] for pair in self.catalogue.topics.get(row, ())),
        }

    def duration(self, row: int, item: Item) -> float | None:
        told = self.catalogue.media.get(row, {}).get("duration")
        return item.duration if item.duration is not None else (float(told) if told is not None else None)

    def kind(self, row: int, item: Item) -> str:
        """video, audio, image or text (nothing to play)."""
        if told := self.catalogue.media.get(row, {}).get("kind"):
            return str(told)
        if not item.media:
            return "text"
        name = item.media.lower()
        return "audio" if name.endswith(SOUND) else "image" if name.endswith(PICTURE) else "video"

    def whole(self, row: int) -> forms.Whole:
        item = self.catalogue.item(row)
        known = self.catalogue.labels.items()
        labels = {
            key.removeprefix("labels."): [(label_in(name, self.lang), share) for name, share in told[row]]
            for key, told in known
            if row in told
        }
        here = np.array([row])
        return forms.Whole(
            **self.brief_fields(row),
            description=item.description,
            tags=item.tags,
            creators=item.creators,
            language=item.language,
            released=item.released,
            expires=item.expires,
            series=item.series,
            season=item.season,
            episode=item.episode,
            properties=item.properties,
            media=dict(self.catalogue.media.get(row, {})),
            labels=labels,
            spaces=tuple(name for name, shelf in self.catalogue.shelves.items() if shelf.has(here)[0]),
        )

    def recommended(self, slate: Slate) -> tuple[forms.Recommended, ...]:
        each = zip(
            slate.items.tolist(), slate.scores.tolist(), slate.sources, slate.reasons, slate.propensities.tolist(),
            strict=True,
        )  # fmt: skip
        return tuple(
            forms.Recommended(
                **self.brief_fields(row), score=forms.number(score), source=source,
                reasons=tuple(map(self.why, reasons)), position=i, propensity=round(propensity, 6),
            )
            for i, (row, score, source, reasons, propensity) in enumerate(each)
        )  # fmt: skip

    def why(self, reason: Reason) -> forms.Why:
        cause = self.title(reason.item) if reason.item is not None else ""
        item = self.catalogue.item(reason.item).id if cause and reason.item is not None else None
        told = reason.detail and reason.kind != "popular"
        labels = tuple(label for label in reason.detail.split("; ") if label) if told else ()
        text = words.reason_text(reason, cause, self.lang, lambda label: label_in(label, self.lang))
        return forms.Why(
            kind=reason.kind,
            item=item,
            title=cause or None,
            text=text,
            weight=round(reason.weight, 4),
            labels=tuple(label_in(label, self.lang) for label in labels) if labels else (),
        )

    def event(self, event: Event) -> forms.Seen:
        row = self.catalogue.row(event.item) if event.item else -1
        return forms.Seen(
            id=event.id, user=event.user, kind=event.kind, at=event.at, item=event.item, value=event.value,
            text=event.text, session=event.session, slate=event.slate, title=self.title(row) or None,
        )  # fmt: skip

    def collections(self) -> forms.Collections:
        counts: dict[str, dict[str, int]] = {}
        totals: dict[str, int] = {}
        for item in self.catalogue.items:
            if item is None:
                continue
            totals[item.collection] = totals.get(item.collection, 0) + 1
            of = counts.setdefault(item.collection, {})
            for category in item.categories:
                of[category] = of.get(category, 0) + 1
        found = tuple(
            forms.CollectionForm(collection=name, items=totals[name], categories=_categories(counts[name]))
            for name in _most(totals)
        )
        return forms.Collections(collections=found)


def _categories(counts: dict[str, int]) -> tuple[forms.Category, ...]:
    return tuple(forms.Category(category=name, items=counts[name]) for name in _most(counts))


def _most(counts: dict[str, int]) -> list[str]:
    return sorted(counts, key=lambda name: (-counts[name], name))
