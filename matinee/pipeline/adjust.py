"""What the asker turns: scores moved by novelty, by boosts and by what was shown lately, in deviations of the pool."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from matinee.pipeline.catalogue import Catalogue
from matinee.pipeline.outcomes import Outcomes
from matinee.pipeline.popularity import Popularity
from matinee.protocols import Scorer
from matinee.types import EVENT_KINDS, Candidates, Doubles, Floats, Query

IMPRESSION = EVENT_KINDS.index("impression")
DAY = 86400.0
PAUSE = 1800.0  # seconds without an impression, after which a visit is over


@dataclass(frozen=True, slots=True)
class Adjusted:
    """``scorer``, moved by the controls of the request. Without any the scores are the scorer's own.

    - ``novelty`` v: minus 2 v deviations times the item's popularity in [0, 1].
    - ``boost`` (text, b): plus b deviations where the filter text holds of the item.
    - ``rotation``: minus so many deviations times log2(1 + visits of the last day that showed the item), so that a list
      that was looked at and passed over gives way; a visit later it looks otherwise. However often one visit shows an
      item, it counts once: a page that is loaded again stays as it is.
    - ``objective``: plus ``weigh`` times how far an item is above what is usual in what the scenario is measured by:
      "finish" the share of starts that were finished, "watch time" the seconds watched; "click" moves nothing.
    """

    scorer: Scorer
    catalogue: Catalogue
    popularity: Popularity
    novelty: float = 0.0
    rotation: float = 0.25
    objective: str = "click"
    outcomes: Outcomes | None = None
    weigh: float = 0.3
    name: str = "adjusted"

    def score(self, query: Query, candidates: Candidates) -> Floats:
        score = self.scorer.score(query, candidates)
        known = ~np.isnan(score)
        if not known.any():
            return score
        deviation = float(score[known].std()) or 1.0
        return np.asarray(score + deviation * self._moves(query, candidates), np.float32)

    def _moves(self, query: Query, candidates: Candidates) -> Doubles:
        """(n,) in deviations."""
        moves = np.zeros(len(candidates))
        novelty = self.novelty if query.controls.novelty is None else query.controls.novelty
        if novelty:
            moves -= 2 * novelty * np.nan_to_num(self.popularity.scores(candidates.items))
        for text, strength in query.controls.boost:
            moves += strength * self.catalogue.where(text)[candidates.items]
        if self.outcomes is not None and self.objective != "click":
            lengths = self.catalogue.lengths[candidates.items]
            moves += self.weigh * self.outcomes.lift(self.objective, candidates.items, lengths)
        if self.rotation:
            moves -= self.rotation * np.log2(1 + self._shown(query, candidates))
        return moves

    def _shown(self, query: Query, candidates: Candidates) -> Doubles:
        """(n,) in how many visits within a day each was shown to the user."""
        history = query.history
        lately = (history.kinds == IMPRESSION) & (history.at > query.now - DAY)
        if not lately.any():
            return np.zeros(len(candidates))
        visit = np.cumsum(np.diff(history.at[lately], prepend=-np.inf) > PAUSE)
        once = np.unique(np.stack([history.items[lately], visit]), axis=1)
        rows, counts = np.unique(once[0], return_counts=True)
        at = np.minimum(np.searchsorted(rows, candidates.items), len(rows) - 1)
        return np.where(rows[at] == candidates.items, counts[at], 0).astype(np.float64)
