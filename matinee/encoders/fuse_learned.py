"""Fusions that learn from who watched what: items watched together come near each other, also those never watched.

The teacher is an embedding of the watched items. It is the correspondence analysis of the user-item table (Benzecri
1973; Greenacre 1984): the table of watches, divided by the square roots of its margins, less what popularity alone
would give, in its leading singular vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from matinee.encoders.fuse import Fuser, Part, centred, mean_of, plain_part, principal, usable
from matinee.errors import MatineeError
from matinee.types import Bools, Doubles, Floats, Interactions, Ints

FEWEST = 20  # items with a teacher; fewer teach nothing


@dataclass(frozen=True, slots=True)
class Ridge:
    """A linear map from all modalities at once, with flags of absence, to the co-watch embedding, by ridge regression
    (Gantner et al., ICDM 2010, section III, with least squares). An item counts ``watches ** trust``."""

    width: int = 128
    ridge: float = 1.0
    trust: float = 0.5
    name: str = "ridge"

    def fit(self, data: Interactions) -> Fuser:
        """O(n D^2 + D^3) for D = sum of dims."""
        features = usable(data)
        ready = [centred(x, mean_of(x)) for x in features.values()]
        rows, goal, count = teacher(data, self.width, np.any([there for _, there in ready], axis=0))
        flags = [(~there[rows]).astype(np.float32)[:, None] for _, there in ready]
        x = np.concatenate([*[x[rows] for x, _ in ready], *flags, np.ones((len(rows), 1), np.float32)], axis=1)
        solved = ridge_map(x, goal, count**self.trust, self.ridge)
        parts, at, flag_at = {}, 0, sum(v.shape[1] for v in features.values())
        for k, (m, vectors) in enumerate(features.items()):
            dim, part = vectors.shape[1], plain_part(vectors, len(features), self.width)
            parts[m] = Part(part.mean, solved[at : at + dim], 1.0, part.gate, solved[flag_at + k])
            at += dim
        return Fuser(self.name, parts)


@dataclass(frozen=True, slots=True)
class Beside:
    """What the items are, beside what they are watched with: the ``axes`` principal axes of each modality, and the
    columns of ``Ridge``, ``share`` times as long. Modalities are weighed by how well their cosines foretell those of
    the teacher (least squares without negative weights), so a telling one speaks louder than a wide one."""

    width: int = 128
    axes: int = 128
    ridge: float = 1.0
    trust: float = 0.5
    share: float = 0.5
    name: str = "beside"

    def fit(self, data: Interactions) -> Fuser:
        """As ``Ridge``, and O(n dim^2 + dim^3) for each modality."""
        learned = Ridge(self.width, self.ridge, self.trust).fit(data)
        ready = {m: centred(x, mean_of(x)) for m, x in usable(data).items()}
        rows, goal, _ = teacher(data, self.width, np.any([there for _, there in ready.values()], axis=0))
        weights = foretelling([x[rows] for x, _ in ready.values()], goal)
        long = float(np.sqrt(np.square(np.nan_to_num(learned.raw(data.features)[rows])).sum(axis=1).mean()))
        by = np.float32(self.share / max(long, 1e-12))
        sizes = [min(self.axes, x.shape[1]) for x, _ in ready.values()]
        parts, at, total = {}, 0, sum(sizes)
        for (m, (x, there)), size, weight in zip(ready.items(), sizes, weights, strict=True):
            own, part = np.zeros((x.shape[1], total), np.float32), learned.parts[m]
            own[:, at : at + size] = np.float32(np.sqrt(weight)) * principal(x[there], size)
            absent = np.concatenate([np.zeros(total, np.float32), by * part.absent])
            parts[m] = Part(part.mean, np.concatenate([own, by * part.map], axis=1), 1.0, part.gate, absent)
            at += size
        return Fuser(self.name, parts)


def foretelling(rows: list[Floats], goal: Floats, most: int = 800) -> Doubles:
    """(modalities,) weights of sum 1: how much of the cosines of ``goal`` (k, width) each modality's cosines explain,
    over the pairs of at most ``most`` items."""
    from scipy.optimize import nnls

    step = max(1, len(goal) // most)
    upper = np.triu_indices(len(goal[::step]), 1)
    table = np.stack([(x[::step] @ x[::step].T)[upper] for x in rows], axis=1).astype(np.float64)
    target = (goal[::step] @ goal[::step].T)[upper].astype(np.float64)
    table -= table.mean(axis=0)
    found, _ = nnls(table.T @ table, table.T @ (target - target.mean()))
    return np.asarray(found / found.sum() if found.sum() > 0 else np.full(len(rows), 1 / len(rows)), np.float64)


@dataclass(frozen=True, slots=True)
class Gated:
    """Each modality has its own ridge map to the co-watch embedding; a softmax over those an item has says how far
    each is believed. The gates are ridge regressions of how well the map did (the cosine with the teacher, for items
    left out of that map's fit) on the row itself and the mask of presence. ``sharpness`` scales their logits."""

    width: int = 128
    ridge: float = 10.0
    trust: float = 0.5
    sharpness: float = 8.0
    name: str = "gated"

    def fit(self, data: Interactions) -> Fuser:
        """O(sum of n dim^2 + dim^3), three times."""
        features = usable(data)
        ready = {m: centred(x, mean_of(x)) for m, x in features.items()}
        rows, goal, count = teacher(data, self.width, np.any([there for _, there in ready.values()], axis=0))
        weight, half = count**self.trust, np.arange(len(rows)) % 2 == 0
        mask = np.stack([there for _, there in ready.values()], axis=1)[rows].astype(np.float32)
        parts = {}
        for m, (x, there) in ready.items():
            own, part = x[rows], plain_part(x, len(ready), self.width)
            here: Bools = there[rows]
            done = np.zeros(len(rows))
            for learn in (half & here, ~half & here):
                if learn.any():
                    guess = own @ ridge_map(own[learn], goal[learn], weight[learn], self.ridge)
                    length = np.maximum(np.linalg.norm(guess, axis=1), 1e-12)
                    done = np.where(learn, done, np.einsum("ij,ij->i", guess, goal) / length)
            mean = float(np.average(done[here], weights=weight[here])) if here.any() else 0.0
            said = np.concatenate([own, mask], axis=1)[here]
            gate = ridge_map(said, (done[here] - mean)[:, None].astype(np.float32), weight[here], 10 * self.ridge)
            solved = unit_scaled(own[here], ridge_map(own[here], goal[here], weight[here], self.ridge))
            parts[m] = Part(
                mean_of(features[m]), solved, self.sharpness * mean, self.sharpness * gate[:, 0], part.absent
            )
        return Fuser(self.name, parts, gated=True)


@dataclass(frozen=True, slots=True)
class Contrastive:
    """Maps trained so that an item names, among all others, those watched with it (InfoNCE, van den Oord et al. 2018,
    section 2.3, over every pair instead of samples; the logarithm of an item's share of watches is added to its logit,
    so likeness need not explain popularity). Starts from the ridge map; L-BFGS. Cosines do not see the size of W, so
    what is held down is |W|^2 over the mean |x W|^2: long weights on what hardly varies. ``decay`` weighs it against
    the sum over items, so that few items are trusted less."""

    width: int = 64
    axes: int = 192
    heat: float = 0.15
    decay: float = 0.3
    steps: int = 60
    anchors: int = 2048
    seed: int = 0
    name: str = "contrastive"

    def fit(self, data: Interactions) -> Fuser:
        """O(steps x anchors^2 x width); ``anchors`` is the most items compared, drawn by ``seed``."""
        from scipy.optimize import minimize

        features = usable(data)
        ready = [centred(x, mean_of(x)) for x in features.values()]
        rows, goal, count = teacher(data, self.width, np.any([there for _, there in ready], axis=0))
        if len(rows) > self.anchors:
            kept = np.sort(np.random.default_rng(self.seed).permutation(len(rows))[: self.anchors])
            rows, goal, count = rows[kept], goal[kept], count[kept]
        axes = [principal(x[there], min(self.axes, x.shape[1])) for x, there in ready]
        x = np.concatenate([x[rows] @ a for (x, _), a in zip(ready, axes, strict=True)], axis=1)
        start = ridge_map(x, goal, count**0.5, 10.0)
        together, share = pairs(data, rows)
        logits = np.log(share)[None, :].astype(np.float32)

        decay, spread = self.decay / len(rows), x.T @ x / np.float32(len(rows))

        def cost(flat: Doubles) -> tuple[float, Doubles]:
            w = flat.reshape(start.shape).astype(np.float32)
            value, slope = info_nce(x, w, together, logits, self.heat)
            held, pull = roughness(w, spread)
            return value + decay * held, (slope + decay * pull).ravel().astype(np.float64)

        best = minimize(
            cost, start.ravel().astype(np.float64), jac=True, method="L-BFGS-B", options={"maxiter": self.steps}
        )
        solved, at, parts = best.x.reshape(start.shape).astype(np.float32), 0, {}
        for (m, vectors), a in zip(features.items(), axes, strict=True):
            part = plain_part(vectors, len(features), self.width)
            parts[m] = Part(part.mean, a @ solved[at : at + a.shape[1]], 1.0, part.gate, part.absent)
            at += a.shape[1]
        return Fuser(self.name, parts)


def info_nce(x: Floats, w: Floats, together: Floats, logits: Floats, heat: float) -> tuple[float, Floats]:
    """The mean over items i of -sum_j together_ij log softmax_j(cos(z_i, z_j) / heat + logits_j), j not i, z = x w; and
    its slope by w. O(n^2 width)."""
    z = x @ w
    length = np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-6)
    z = z / length
    scores = z @ z.T / np.float32(heat) + logits
    np.fill_diagonal(scores, -np.inf)
    scores -= scores.max(axis=1, keepdims=True)
    chance = np.exp(scores)
    total = chance.sum(axis=1, keepdims=True)
    np.fill_diagonal(scores, 0)
    n = len(x)
    value = float(((np.log(total) - scores) * together).sum() / n)
    chance /= total
    chance *= together.sum(axis=1, keepdims=True)
    pull = (chance - together) / np.float32(n * heat)
    by_z = pull @ z + pull.T @ z
    by_z -= z * np.einsum("ij,ij->i", by_z, z)[:, None]
    return value, np.asarray(x.T @ (by_z / length), np.float32)


def roughness(w: Floats, spread: Floats) -> tuple[float, Floats]:
    """|W|^2 / tr(W' S W) and its slope by W; ``spread`` (dim, dim) is the mean of x x'."""
    turned = spread @ w
    size, seen = float((w * w).sum()), max(float((w * turned).sum()), 1e-12)
    return size / seen, np.asarray(2 * (w / seen - turned * (size / seen**2)), np.float32)


def watches(data: Interactions) -> Any:
    """(n_users, n_items) sparse float64, 1 where a user watched and did not dislike."""
    from scipy.sparse import csr_array

    liked = data.strength > 0
    at = (data.users[liked], data.items[liked])
    table = csr_array((np.ones(int(liked.sum())), at), shape=(data.n_users, data.n_items))
    table.data[:] = 1.0  # a film watched twice is one film
    return table


def pairs(data: Interactions, rows: Ints) -> tuple[Floats, Doubles]:
    """(k, k) float32: how a watch is shared among the other items of its watchers, rows of sum 1 (0 where nothing was
    watched with it); (k,) each item's share of all watches. A user with n films gives each pair 1 / (n - 1)."""
    table = watches(data)[:, rows]
    size = np.asarray(table.sum(axis=1)).ravel()
    scaled = table.multiply((1 / np.maximum(size - 1, 1))[:, None]).tocsr()
    out = np.asarray((table.T @ scaled).toarray(), np.float32)
    np.fill_diagonal(out, 0)
    out /= np.maximum(out.sum(axis=1, keepdims=True), 1e-12)
    count = np.asarray(table.sum(axis=0)).ravel() + 1.0
    return out, count / count.sum()


def teacher(data: Interactions, width: int, usable_rows: Bools) -> tuple[Ints, Floats, Doubles]:
    """The items that were watched and of which something is known: their rows (k,), co-watch vectors (k, width) float32
    of unit length, and counts of watchers (k,). Raises ``fusion.few_watches``. O(watches x width)."""
    from scipy.sparse.linalg import LinearOperator, svds

    table = watches(data)
    by_item, by_user = np.asarray(table.sum(axis=0)).ravel(), np.asarray(table.sum(axis=1)).ravel()
    seen = np.flatnonzero(by_item > 0)
    busy = np.flatnonzero(by_user > 0)
    if int(usable_rows[seen].sum()) < FEWEST:
        there = int(usable_rows[seen].sum())
        raise MatineeError(
            "fusion.few_watches",
            f"Only {there} known items were watched; learning needs {FEWEST}. Until then use the fusion 'concat'.",
            f"只有 {there} 个已知条目被观看过，学习融合至少需要 {FEWEST} 个。请先使用 'concat'。",
        )
    left, right = 1 / np.sqrt(by_user[busy]), 1 / np.sqrt(by_item[seen])
    table = table[busy][:, seen].multiply(left[:, None]).multiply(right[None, :]).tocsr()
    u = np.sqrt(by_user[busy] / by_user.sum())
    v = np.sqrt(by_item[seen] / by_item.sum())  # u, v: the singular pair that says only how much is watched
    turned = table.T.tocsr()
    k = min(width, min(table.shape) - 1)
    if min(table.shape) <= 200:
        _, values, axes = np.linalg.svd(table.toarray() - np.outer(u, v), full_matrices=False)
        values, axes = values[:k], axes[:k]
    else:
        operator = LinearOperator(
            table.shape,
            matvec=lambda y: table @ y.ravel() - u * (v @ y.ravel()),
            rmatvec=lambda y: turned @ y.ravel() - v * (u @ y.ravel()),
            dtype=np.float64,
        )
        start = np.random.default_rng(0).normal(size=min(table.shape))
        _, values, axes = svds(operator, k=k, v0=start)
    embedded = np.zeros((len(seen), width))
    embedded[:, :k] = axes.T * values * right[:, None]
    length = np.linalg.norm(embedded, axis=1)
    kept = usable_rows[seen] & (length > 1e-12)
    goal = embedded[kept] / length[kept, None]
    return seen[kept].astype(np.int64), goal.astype(np.float32), by_item[seen[kept]]


def ridge_map(x: Floats, goal: Floats, weight: Doubles, ridge: float) -> Floats:
    """(dim, width) float32: argmin sum_i weight_i |x_i W - goal_i|^2 + ridge |W|^2, the weights scaled to mean 1."""
    from scipy.linalg import solve

    scaled = x.T.astype(np.float64) * (weight / weight.mean())
    gram = scaled @ x
    gram[np.diag_indices_from(gram)] += ridge
    return np.asarray(solve(gram, scaled @ goal, assume_a="pos"), np.float32)


def unit_scaled(x: Floats, w: Floats) -> Floats:
    """The map scaled so that its rows have root mean square length 1: a gate then weighs alike things."""
    return np.asarray(w / max(float(np.sqrt(np.square(x @ w).sum(axis=1).mean())), 1e-12), np.float32)
