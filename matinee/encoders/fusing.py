"""The fusion of a training: fitted on the very rows that a recipe learns from, once for each set of rows.

A recipe that is tried on what was held out must not see a fusion that was fitted on it, so the fused vectors are made
from the data at hand each time, and kept for the recipes that are fitted on the same data next.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from matinee.encoders.fuse import Fuser, fit_fusion
from matinee.errors import MatineeError
from matinee.types import Interactions

FUSED, NONE = "fused", "none"


@dataclass(frozen=True, slots=True)
class Fusing:
    """``method``: a name of ``FUSIONS``, or none. Not safe to use from several threads."""

    method: str
    kept: list[tuple[Interactions, Fuser | None, Interactions]] = field(default_factory=list)

    def fuser(self, data: Interactions) -> Fuser | None:
        """Fitted on this data; None where nothing is to be fused or nothing is known of any item."""
        return self._made(data)[1]

    def over(self, data: Interactions) -> Interactions:
        """The data with the modality ``fused`` beside the others, where there is anything to fuse."""
        return self._made(data)[2]

    def _made(self, data: Interactions) -> tuple[Interactions, Fuser | None, Interactions]:
        if not self.kept or self.kept[0][0] is not data:
            fuser = self._fitted(data)
            features = {} if fuser is None else {FUSED: fuser.fuse(data.features)}
            made = replace(data, features={**data.features, **features})
            self.kept[:] = [(data, fuser, made)]
        return self.kept[0]

    def _fitted(self, data: Interactions) -> Fuser | None:
        if self.method == NONE:
            return None
        try:
            return fit_fusion(data, self.method)
        except MatineeError as error:
            if error.code != "fusion.no_features":
                raise
            return None


def takes_fused(recipe: Any) -> bool:
    """Whether a recipe goes by the fused vector where there is one: it says so by a field ``fused``."""
    return bool(getattr(recipe, FUSED, False))
