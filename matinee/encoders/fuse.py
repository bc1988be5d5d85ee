"""One vector of an item from its text, pictures and sound: several ways, one interface, no deep learning library.

``fit(data) -> Fuser`` reads ``data.features`` and, where a way learns, who watched what; ``fuse(features)`` gives unit
rows. An item that lacks a modality is normal: what it has speaks, and NaN rows come out only where nothing is known.

Every way is the same sum. Modality m of item i, centred on the modality's mean and brought to unit length, is x_m(i);
the fused row is  sum over present m of g_m(i) x_m(i) W_m,  plus  b_m  for each absent m, brought to unit length. The
ways differ in the maps W, the gates g and the offsets b. The learned ones are in ``fuse_learned``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol, cast

import numpy as np

from matinee.errors import MatineeError
from matinee.types import Bools, Doubles, Floats, Interactions

TINY = 1e-6  # a shorter vector points nowhere


class Fusion(Protocol):
    """A way to fuse. Its settings are the fields of the implementing frozen dataclass."""

    @property
    def name(self) -> str: ...
    def fit(self, data: Interactions) -> Fuser:
        """Raises ``fusion.no_features``; the learned ways also ``fusion.few_watches``."""
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """One modality: ``mean`` (dim,) float32; ``map`` (dim, d) float32, or (dim, 0) for a block of its own in the
    concatenation; ``weight``, the constant part of the gate; ``gate`` (dim + modalities,) float32, what a row and the
    mask of presence add to the gate's logit; ``absent`` (d,) float32, the offset where the modality is missing."""

    mean: Floats
    map: Floats
    weight: float
    gate: Floats
    absent: Floats

    @property
    def width(self) -> int:
        """How many columns of the fused row it fills."""
        return self.map.shape[1] or len(self.mean)


@dataclass(frozen=True, slots=True)
class Fuser:
    """What was fitted. ``gated``: the gates are a softmax over the present modalities, else each is its weight."""

    name: str
    parts: Mapping[str, Part]
    gated: bool = False

    @property
    def blocks(self) -> bool:
        """Side by side, rather than summed in one width."""
        return all(not part.map.shape[1] for part in self.parts.values())

    @property
    def dim(self) -> int:
        widths = [part.width for part in self.parts.values()]
        return sum(widths) if self.blocks else max(widths)

    def fuse(self, features: Mapping[str, Floats]) -> Floats:
        """(n, dim) float32 unit rows of {modality: (n, dim_m) float32}; NaN rows where no modality is known.

        Modalities that were not fitted are ignored, fitted ones may be left out. Raises ``fusion.shape`` when a
        modality has another width than when it was fitted. O(n x sum of dim_m x dim).
        """
        return unit(self.raw(features))

    def raw(self, features: Mapping[str, Floats]) -> Floats:
        """As ``fuse``, before rows are brought to unit length."""
        names = list(self.parts)
        n = max((len(features[m]) for m in names if m in features), default=0)
        rows = [self._rows(m, features, n) for m in names]
        present = np.stack([there for _, there in rows], axis=1) if names else np.zeros((n, 0), bool)
        gates = self._gates([x for x, _ in rows], present)
        out, at = np.zeros((n, self.dim), np.float32), 0
        for k, (part, (x, there)) in enumerate(zip(self.parts.values(), rows, strict=True)):
            if self.blocks:
                out[:, at : at + part.width] = x * gates[:, k, None]
                at += part.width
            else:
                out += (x @ part.map) * gates[:, k, None]
                out[~there] += part.absent
        out[~present.any(axis=1)] = np.nan
        return out

    def _rows(self, m: str, features: Mapping[str, Floats], n: int) -> tuple[Floats, Bools]:
        part = self.parts[m]
        if m not in features:
            return np.zeros((n, len(part.mean)), np.float32), np.zeros(n, bool)
        if features[m].shape != (n, len(part.mean)):
            raise MatineeError(
                "fusion.shape",
                f"Modality {m!r} has shape {features[m].shape}; expected are {n} rows of {len(part.mean)} numbers. Was "
                "it encoded by another encoder? Fit the fusion again.",
                f"模态 {m!r} 的形状是 {features[m].shape}，应为 {n} 行 {len(part.mean)} 维。"
                "是否换了编码器？请重新训练融合。",
            )
        return centred(features[m], part.mean)

    def _gates(self, rows: list[Floats], present: Bools) -> Floats:
        """(n, modalities) float32, 0 where absent."""
        parts = list(self.parts.values())
        if not self.gated:
            return np.where(present, np.array([p.weight for p in parts], np.float32), 0).astype(np.float32)
        mask = present.astype(np.float32)
        logits = np.full(present.shape, -np.inf, np.float32)
        for k, (part, x) in enumerate(zip(parts, rows, strict=True)):
            dim = len(part.mean)
            own = x @ part.gate[:dim] + mask @ part.gate[dim:] + np.float32(part.weight)
            logits[present[:, k], k] = own[present[:, k]]
        top = np.where(present.any(axis=1), logits.max(axis=1, initial=-np.inf), 0)
        raised = np.exp(logits - top[:, None])
        return np.asarray(raised / np.maximum(raised.sum(axis=1, keepdims=True), TINY), np.float32)

    def arrays(self) -> dict[str, Any]:
        """All that rebuilds it (``from_arrays``), stored without pickle."""
        out: dict[str, Any] = {"gated": np.array(self.gated)}
        for m, p in self.parts.items():
            own = {"mean": p.mean, "map": p.map, "weight": np.float64(p.weight), "gate": p.gate, "absent": p.absent}
            out |= {f"{m}.{key}": value for key, value in own.items()}
        return out

    @staticmethod
    def from_arrays(name: str, arrays: Mapping[str, Any]) -> Fuser:
        names = [key.removesuffix(".mean") for key in arrays if key.endswith(".mean")]
        parts = {
            m: Part(
                arrays[f"{m}.mean"], arrays[f"{m}.map"], float(arrays[f"{m}.weight"]), arrays[f"{m}.gate"],
                arrays[f"{m}.absent"],
            )
            for m in sorted(names)
        }  # fmt: skip
        return Fuser(name, parts, bool(arrays["gated"]))


@dataclass(frozen=True, slots=True)
class Concat:
    """Side by side. The cosine of two items that have everything is the weighted mean of their cosines; a missing block
    is zero, so what two items do not share counts as no likeness. ``weights``: by modality, 1 where not named."""

    weights: Mapping[str, float] = field(default_factory=dict)
    name: str = "concat"

    def fit(self, data: Interactions) -> Fuser:
        """O(n x dims)."""
        features = usable(data)
        parts = {m: plain_part(x, len(features), 0, self.weights.get(m, 1.0)) for m, x in features.items()}
        return Fuser(self.name, parts)


@dataclass(frozen=True, slots=True)
class Additive:
    """The sum after a random projection of each modality to one width. Two such projections are nearly orthogonal, so
    the cosines nearly add, as in the concatenation but in ``width`` columns (Johnson and Lindenstrauss 1984)."""

    width: int = 256
    seed: int = 0
    name: str = "additive"

    def fit(self, data: Interactions) -> Fuser:
        """O(dims x width)."""
        features, rng, parts = usable(data), np.random.default_rng(self.seed), {}
        for m, x in features.items():
            part = plain_part(x, len(features), self.width)
            draw = rng.normal(size=(x.shape[1], self.width)) / np.sqrt(self.width)
            parts[m] = Part(part.mean, draw.astype(np.float32), 1.0, part.gate, part.absent)
        return Fuser(self.name, parts)


@dataclass(frozen=True, slots=True)
class WeightedSum:
    """A weighted mean of what is there, after the principal axes of each modality were turned towards those of the one
    that most items have (orthogonal Procrustes, Schoenemann 1966), so that a sum joins what they agree on."""

    weights: Mapping[str, float] = field(default_factory=dict)
    width: int = 128
    name: str = "weighted"

    def fit(self, data: Interactions) -> Fuser:
        """O(dims^3 + n dims^2)."""
        features = usable(data)
        ready = {m: centred(x, mean_of(x)) for m, x in features.items()}
        first = max(ready, key=lambda m: int(ready[m][1].sum()))
        maps = {m: principal(x[there], self.width) for m, (x, there) in ready.items()}
        anchor, anchored = ready[first][0] @ maps[first], ready[first][1]
        parts = {}
        for m, (x, there) in ready.items():
            both, turn = there & anchored, np.eye(self.width, dtype=np.float32)
            if m != first and both.any():
                left, _, right = np.linalg.svd((x[both] @ maps[m]).T @ anchor[both])
                turn = left @ right
            empty = np.zeros(self.width, np.float32)
            gate = np.zeros(x.shape[1] + len(ready), np.float32)
            parts[m] = Part(mean_of(features[m]), maps[m] @ turn, self.weights.get(m, 1.0), gate, empty)
        return Fuser(self.name, parts)


@dataclass(frozen=True, slots=True)
class CCA:
    """Generalised canonical correlation, MAXVAR with missing rows (Kettenring 1971; van de Velden and Bijmolt 2006):
    the axes on which the modalities that an item has agree best. ``ridge``: the share of each modality's mean variance
    that is added to all of its axes; ``power``: an axis counts by its eigenvalue to this power (Gong et al., IJCV 2014,
    use 4, so that axes without agreement fade); 0 counts all alike, the best on MovieLens."""

    width: int = 128
    ridge: float = 1.0
    power: float = 0.0
    name: str = "cca"

    def fit(self, data: Interactions) -> Fuser:
        """O((sum of dims)^3 + n (sum of dims)^2)."""
        features = usable(data)
        ready = [centred(x, mean_of(x)) for x in features.values()]
        count = np.sum([there for _, there in ready], axis=0)
        scale = 1 / np.sqrt(np.maximum(count, 1))[:, None]
        whitening = [white(x[there], self.ridge) for x, there in ready]
        stacked = np.concatenate([x @ w * scale for (x, _), w in zip(ready, whitening, strict=True)], axis=1)
        values, axes = np.linalg.eigh(stacked.T @ stacked)
        order = np.argsort(-values)[: self.width]
        best = axes[:, order] * np.maximum(values[order] / max(float(values.max()), 1e-12), 0) ** self.power
        parts, at = {}, 0
        for (m, x), w in zip(features.items(), whitening, strict=True):
            part = plain_part(x, len(features), self.width)
            own = np.zeros((x.shape[1], self.width), np.float32)
            own[:, : best.shape[1]] = w @ best[at : at + x.shape[1]]
            at += x.shape[1]
            parts[m] = Part(part.mean, own, 1.0, part.gate, part.absent)
        return Fuser(self.name, parts)


def usable(data: Interactions) -> dict[str, Floats]:
    """The modalities of which at least two items have a row, by name. Raises ``fusion.no_features``."""
    kept = {m: x for m, x in sorted(data.features.items()) if known(x).sum() >= 2}
    if not kept:
        raise MatineeError(
            "fusion.no_features",
            "Nothing is known of these items: no text, picture or sound was encoded. Run: matinee ingest",
            "这些条目还没有任何文本、画面或声音的向量。请先运行：matinee ingest",
        )
    return kept


def known(vectors: Floats) -> Bools:
    return np.asarray(np.isfinite(vectors).all(axis=1), bool)


def mean_of(vectors: Floats) -> Floats:
    return np.asarray(vectors[known(vectors)].mean(axis=0, dtype=np.float64), np.float32)


def centred(vectors: Floats, mean: Floats) -> tuple[Floats, Bools]:
    """Unit rows around the mean, zero rows where nothing is known or nothing differs from the mean; and which are."""
    there = known(vectors)
    out = np.where(there[:, None], vectors - mean, 0).astype(np.float32)
    length = np.linalg.norm(out, axis=1)
    there &= length > TINY
    out /= np.where(there, length, 1).astype(np.float32)[:, None]
    out[~there] = 0
    return out, there


def unit(rows: Floats) -> Floats:
    """Unit rows; NaN where a row is NaN or too short to point anywhere."""
    length = np.linalg.norm(rows, axis=1)
    short = ~(length > TINY)
    out = rows / np.where(short, 1, length).astype(np.float32)[:, None]
    out[short] = np.nan
    return np.asarray(out, np.float32)


def plain_part(vectors: Floats, modalities: int, width: int, weight: float = 1.0) -> Part:
    """A part that projects nothing yet."""
    dim = vectors.shape[1]
    gate = np.zeros(dim + modalities, np.float32)
    return Part(mean_of(vectors), np.zeros((dim, width), np.float32), weight, gate, np.zeros(width, np.float32))


def principal(rows: Floats, width: int) -> Floats:
    """(dim, width) float32: the axes of most variance, zero columns beyond dim. Signs are fixed: the largest entry of
    each axis is positive. O(n dim^2 + dim^3)."""
    values, axes = np.linalg.eigh(rows.T.astype(np.float64) @ rows.astype(np.float64))
    best = axes[:, np.argsort(-values)[:width]]
    best *= np.sign(best[np.abs(best).argmax(axis=0), np.arange(best.shape[1])])
    out = np.zeros((rows.shape[1], width), np.float32)
    out[:, : best.shape[1]] = best
    return out


def white(rows: Floats, ridge: float) -> Doubles:
    """(dim, dim) float64: (X'X + r I)^-1/2, r a share of the mean variance."""
    gram = rows.T.astype(np.float64) @ rows.astype(np.float64)
    values, axes = np.linalg.eigh(gram)
    floor = ridge * max(float(values.mean()), 1e-12)
    return np.asarray((axes / np.sqrt(np.maximum(values, 0) + floor)) @ axes.T, np.float64)


FUSIONS: dict[str, tuple[str, str]] = {
    "concat": ("matinee.encoders.fuse", "Concat"),
    "additive": ("matinee.encoders.fuse", "Additive"),
    "weighted": ("matinee.encoders.fuse", "WeightedSum"),
    "cca": ("matinee.encoders.fuse", "CCA"),
    "gated": ("matinee.encoders.fuse_learned", "Gated"),
    "ridge": ("matinee.encoders.fuse_learned", "Ridge"),
    "beside": ("matinee.encoders.fuse_learned", "Beside"),
    "contrastive": ("matinee.encoders.fuse_learned", "Contrastive"),
}
DEFAULT, PLAIN = "beside", "concat"


def load_fusion(name: str = DEFAULT) -> Fusion:
    """The way called ``name`` with its default settings. Raises ``fusion.unknown``."""
    if name not in FUSIONS:
        names = ", ".join(FUSIONS)
        raise MatineeError(
            "fusion.unknown",
            f"There is no fusion {name!r}. Known: {names}.",
            f"没有名为 {name!r} 的融合。可用：{names}。",
        )
    module, cls = FUSIONS[name]
    return cast("Fusion", getattr(import_module(module), cls)())


def fit_fusion(data: Interactions, name: str = DEFAULT) -> Fuser:
    """As ``load_fusion(name).fit(data)``; where too little was watched to learn from, the plain way, whose name the
    result bears."""
    try:
        return load_fusion(name).fit(data)
    except MatineeError as error:
        if error.code != "fusion.few_watches":
            raise
        return load_fusion(PLAIN).fit(data)
