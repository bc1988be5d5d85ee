"""Boosted trees as plain arrays: grown by LightGBM, walked by NumPy, so serving needs no LightGBM and no model text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from matinee.types import Bools, Doubles, Floats, Ints


@dataclass(frozen=True, slots=True)
class Trees:
    """Nodes of all trees in one row: ``feature`` (-1 at a leaf), ``threshold``, ``left``, ``right`` (positions),
    ``nan_left`` (where a missing value goes) and ``nan_zero`` (a missing value is 0 there), ``value`` at leaves;
    ``roots`` (trees,). A sample goes left where its feature is at most the threshold; its score is the sum of
    its leaves."""

    feature: Ints
    threshold: Doubles
    left: Ints
    right: Ints
    nan_left: Bools
    nan_zero: Bools
    value: Doubles
    roots: Ints

    def predict(self, x: Floats) -> Doubles:
        """(n,) sums over the trees of (n, features). O(n x trees x depth)."""
        at = np.broadcast_to(self.roots, (len(x), len(self.roots))).copy()
        rows = np.arange(len(x))[:, None]
        while True:
            feature = self.feature[at]
            inner = feature >= 0
            if not inner.any():
                total: Doubles = self.value[at].sum(1)
                return total
            values = x[rows, np.maximum(feature, 0)].astype(np.float64)
            missing = np.isnan(values)
            values = np.where(missing & self.nan_zero[at], 0.0, values)
            left = np.where(np.isnan(values), self.nan_left[at], values <= self.threshold[at])
            at = np.where(inner, np.where(left, self.left[at], self.right[at]), at)

    def arrays(self) -> dict[str, Any]:
        return {key: getattr(self, key) for key in self.__dataclass_fields__}

    @staticmethod
    def from_arrays(arrays: Mapping[str, Any]) -> Trees:
        return Trees(**{key: arrays[key] for key in Trees.__dataclass_fields__})


def from_dump(dump: Mapping[str, Any]) -> Trees:
    """Trees of LightGBM's ``Booster.dump_model()``; numerical splits only."""
    rows: list[tuple[int, float, int, int, bool, bool, float]] = []

    def add(node: Mapping[str, Any]) -> int:
        place = len(rows)
        rows.append((-1, 0.0, place, place, False, False, float(node.get("leaf_value", 0.0))))
        if "split_feature" in node:
            left, right = add(node["left_child"]), add(node["right_child"])
            nan = node["missing_type"] == "NaN"
            feature, threshold = int(node["split_feature"]), float(node["threshold"])
            rows[place] = (feature, threshold, left, right, bool(node["default_left"]), not nan, 0.0)
        return place

    roots = [add(tree["tree_structure"]) for tree in dump["tree_info"]]
    columns = list(zip(*rows, strict=True)) or [()] * 7
    kinds: tuple[Any, ...] = (np.int64, np.float64, np.int64, np.int64, bool, bool, np.float64)
    arrays = [np.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
    names = list(Trees.__dataclass_fields__)
    return Trees.from_arrays(dict(zip(names, [*arrays, np.array(roots, np.int64)], strict=True)))
