"""Music-motion retrieval: how often a latent of music finds its own dance among others, and the reverse.

Pure arithmetic on latents, by cosine similarity. Not for: making latents, or choosing the windows they are made of.

Letters: N pairs, W width of a latent, E width of an embedding of music, B batches, S pairs in a batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

Direction = Literal["m2d", "d2m"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
"""``m2d``: music asks, the dances are the gallery; ``d2m``: the reverse."""

BATCH_SIZE = 32
"""Pairs in a batch. Source: TMR (Petrovich et al., 2023), protocol of small batches."""

DISSIMILAR_SIZE = 100
"""Pairs that are unlike each other. Source: TMR, protocol of the dissimilar subset."""

_DECIMALS = 12  # of a similarity: sums in another order differ by 1e-16, and equal latents must tie


@dataclass(frozen=True, slots=True)
class RetrievalScores:
    """Scores over all queries; comparable only at one size of gallery.

    Attributes:
        gallery: Candidates a query chooses from, its own partner among them.
        chance_r1: R@1 of a random choice, percent.
        r1: Queries with a rank below 1, percent; so for ``r2``, ``r3``, ``r5`` and ``r10``. A tie of two for the first
            place has rank 0.5 and counts as found.
        r2: See ``r1``.
        r3: See ``r1``.
        r5: See ``r1``.
        r10: See ``r1``.
        medr: Median rank, counted from 1.
    """

    gallery: int
    chance_r1: float
    r1: float
    r2: float
    r3: float
    r5: float
    r10: float
    medr: float


def cosine_similarity(left: NDArray[np.floating], right: NDArray[np.floating]) -> F64:
    """Cosine of the angle between every two rows.

    Args:
        left: [N, W].
        right: [N, W].

    Returns:
        [N, N] float64, -1..1, rounded to 12 decimals; 0 where either row is zero.

    Raises:
        ValueError: If the shapes differ or are not [N, W], or a value is not finite.
    """
    left, right = _rows("left", left), _rows("right", right)
    if left.shape != right.shape:
        raise ValueError(
            f"latents of shapes {left.shape} and {right.shape} are no pairs; pass one row a pair on each side"
        )
    return _round(_units(left) @ _units(right).T)


def ranks(similarity: NDArray[np.floating]) -> F64:
    """Rank of the true pair, the diagonal, in each row.

    Args:
        similarity: [N, N], N >= 2; row = query, column = candidate, larger is better.

    Returns:
        [N] float64, 0..N-1; 0 is best, ties take the mean of their places.

    Raises:
        ValueError: If the matrix is not square, has fewer than two rows or a value that is not finite.

    Source: ``MMR/src/model/metrics.py`` of the SoulNet release, which is that of TMR.
    """
    values = _square(similarity)
    true = np.diagonal(values)[:, None]
    better = (values > true).sum(axis=1)
    equal = (values == true).sum(axis=1) - 1
    return np.asarray(better + equal / 2.0, dtype=np.float64)


def scores(ranks: NDArray[np.floating], gallery: int) -> RetrievalScores:
    """Recall and median rank.

    Args:
        ranks: [Q] 0-based ranks of Q queries, Q >= 1; fractions are ties.
        gallery: Candidates each query chose from, at least 2.

    Returns:
        The scores.

    Raises:
        ValueError: If there is no rank, the gallery is too small, or a rank lies outside 0..gallery-1.
    """
    found = np.asarray(ranks, dtype=np.float64)
    if gallery < 2:
        raise ValueError(f"a gallery of {gallery} leaves no choice, at least 2 are needed; add pairs")
    if found.ndim != 1 or len(found) == 0:
        raise ValueError(f"ranks of shape {found.shape} cannot be scored; pass [Q] with at least 1 query")
    if not ((found >= 0.0) & (found <= gallery - 1)).all():
        raise ValueError(f"ranks {found.min()}..{found.max()} lie outside 0..{gallery - 1}; pass 0-based ranks")
    r1, r2, r3, r5, r10 = (100.0 * float((found < k).mean()) for k in (1, 2, 3, 5, 10))
    return RetrievalScores(gallery, 100.0 / gallery, r1, r2, r3, r5, r10, float(np.median(found)) + 1.0)


def full_gallery(motion: NDArray[np.floating], music: NDArray[np.floating], direction: Direction) -> RetrievalScores:
    """Every pair is in the gallery.

    Args:
        motion: [N, W] latents, N >= 2; row n belongs to row n of the music.
        music: [N, W] latents.
        direction: Who asks.

    Returns:
        The scores; ``gallery`` is N.

    Raises:
        ValueError: If the shapes differ, there are fewer than two pairs, a value is not finite, or the direction is
            unknown.
    """
    queries, candidates = _sides(motion, music, direction)
    return scores(ranks(cosine_similarity(queries, candidates)), len(queries))


def in_batches(
    motion: NDArray[np.floating],
    music: NDArray[np.floating],
    direction: Direction,
    *,
    group: NDArray[np.integer] | None = None,
    size: int = BATCH_SIZE,
    repeats: int = 50,
    seed: int = 0,
) -> RetrievalScores:
    """Random batches are the galleries; ranks are pooled over all of them.

    Args:
        motion: [N, W] latents, N >= 2; row n belongs to row n of the music.
        music: [N, W] latents.
        direction: Who asks. The batches of a seed are the same in both directions.
        group: [N] what a pair is of, such as its song; see ``draw_batches``.
        size: Pairs in a batch, at least 2.
        repeats: Shuffles, at least 1.
        seed: Of the shuffles.

    Returns:
        The scores; ``gallery`` is the size of the batches, smaller than ``size`` where pairs or groups are fewer.

    Raises:
        ValueError: As in ``full_gallery`` and ``draw_batches``.
    """
    queries, candidates = _sides(motion, music, direction)
    batches = draw_batches(len(queries), group=group, size=size, repeats=repeats, seed=seed)
    found = [ranks(cosine_similarity(queries[batch], candidates[batch])) for batch in batches]
    return scores(np.concatenate(found), batches.shape[1])


def dissimilar(
    motion: NDArray[np.floating],
    music: NDArray[np.floating],
    direction: Direction,
    *,
    embedding: NDArray[np.floating],
    size: int = DISSIMILAR_SIZE,
) -> RetrievalScores:
    """Pairs whose music is unlike each other are the gallery.

    Args:
        motion: [N, W] latents, N >= 2; row n belongs to row n of the music.
        music: [N, W] latents.
        direction: Who asks.
        embedding: [N, E] of the music, by a model that is not the one under test.
        size: Pairs to choose, at least 2.

    Returns:
        The scores; ``gallery`` is ``size``, or N if that is smaller.

    Raises:
        ValueError: As in ``full_gallery`` and ``farthest_points``, or if the embedding has another number of rows.
    """
    queries, candidates = _sides(motion, music, direction)
    rows = _rows("embedding", embedding)
    if len(rows) != len(queries):
        raise ValueError(f"{len(rows)} embeddings for {len(queries)} pairs; pass one row a pair")
    chosen = farthest_points(rows, size)
    return scores(ranks(cosine_similarity(queries[chosen], candidates[chosen])), len(chosen))


def draw_batches(
    num_pairs: int,
    *,
    group: NDArray[np.integer] | None = None,
    size: int = BATCH_SIZE,
    repeats: int = 50,
    seed: int = 0,
) -> I64:
    """Batches of distinct pairs: each shuffle is cut into whole batches, the remainder is left out.

    With groups, a shuffle holds one pair of each group, drawn anew every time, so no batch holds two of one group. A
    pair of a large group is then drawn less often than one of a small group.

    Args:
        num_pairs: N, at least 2.
        group: [N] what a pair is of, at least two different values.
        size: Pairs in a batch, at least 2.
        repeats: Shuffles, at least 1.
        seed: Of the shuffles.

    Returns:
        [B, S] int64, rows of pairs; S is ``size``, or the number of pairs or of groups if that is smaller.

    Raises:
        ValueError: If a number is too small, or ``group`` has another length.
    """
    if group is not None and np.shape(group) != (num_pairs,):
        raise ValueError(f"groups of shape {np.shape(group)} for {num_pairs} pairs; pass one number a pair")
    if size < 2 or repeats < 1:
        raise ValueError(f"batches of {size} and {repeats} repeats: raise them to at least 2 and 1")
    num_apart = num_pairs if group is None else len(np.unique(group))
    if num_apart < 2:
        what = "pairs" if group is None else "groups"
        raise ValueError(f"{num_apart} {what} make no batch, at least 2 are needed; add {what}")
    generator = np.random.default_rng(seed)
    width = min(size, num_apart)
    batches = []
    for _ in range(repeats):
        order = generator.permutation(num_pairs)
        if group is not None:
            first = np.unique(np.asarray(group)[order], return_index=True)[1]
            order = generator.permutation(order[first])
        batches.append(order[: num_apart // width * width].reshape(-1, width))
    return np.concatenate(batches).astype(np.int64)


def farthest_points(embedding: NDArray[np.floating], size: int) -> I64:
    """Rows that are unlike each other, by cosine distance.

    The first is the one farthest from the mean direction; each further one has the largest distance to its nearest
    among those before it. Of equals, the earliest row.

    Args:
        embedding: [N, E], N >= 1.
        size: Rows to choose, at least 2.

    Returns:
        [min(size, N)] int64, in the order they were chosen.

    Raises:
        ValueError: If the shape is not [N, E], a value is not finite or ``size`` is below 2.

    Source: farthest-point selection (Gonzalez, 1985).
    """
    units = _units(_rows("embedding", embedding))
    if size < 2:
        raise ValueError(f"a choice of {size} rows leaves nothing to compare; raise it to at least 2")
    nearest = _round(1.0 - units @ units.mean(axis=0))
    chosen = [int(np.argmax(nearest))]
    nearest = np.full(len(units), np.inf)
    while len(chosen) < min(size, len(units)):
        nearest = np.minimum(nearest, _round(1.0 - units @ units[chosen[-1]]))
        nearest[chosen[-1]] = -np.inf
        chosen.append(int(np.argmax(nearest)))
    return np.array(chosen, dtype=np.int64)


def permutation_p(similarity: NDArray[np.floating], *, permutations: int = 1000, seed: int = 0) -> float:
    """Probability that a random pairing has a mean rank at least as good as the real one.

    Pairs must be independent: windows that overlap, or are of one song, make the value too small.

    Args:
        similarity: [N, N], N >= 2; row = query, column = candidate, larger is better.
        permutations: P random pairings, at least 1.
        seed: Of the pairings.

    Returns:
        ``(1 + pairings at least as good) / (1 + P)``.

    Raises:
        ValueError: As in ``ranks``, or if ``permutations`` is below 1.
    """
    values = _square(similarity)
    if permutations < 1:
        raise ValueError(f"{permutations} permutations tell nothing; raise them to at least 1")
    places = np.stack([_places(row) for row in values])
    rows = np.arange(len(places))
    real = np.trace(places)  # sums of halves are exact, so equals compare as equal
    generator = np.random.default_rng(seed)
    at_least = sum(places[rows, generator.permutation(len(rows))].sum() <= real for _ in range(permutations))
    return (1 + int(at_least)) / (1 + permutations)


def _places(row: F64) -> F64:
    """Rank of every candidate of a query, ties averaged."""
    ordered = np.sort(row)
    below = np.searchsorted(ordered, row, side="left")
    up_to = np.searchsorted(ordered, row, side="right")
    return np.asarray(len(row) - (below + up_to + 1) / 2.0, dtype=np.float64)


def _sides(motion: NDArray[np.floating], music: NDArray[np.floating], direction: Direction) -> tuple[F64, F64]:
    """Queries and candidates."""
    dances, songs = _rows("motion", motion), _rows("music", music)
    if dances.shape != songs.shape:
        raise ValueError(f"motion of shape {dances.shape} and music of {songs.shape} are no pairs; pass one row a pair")
    if len(dances) < 2:
        raise ValueError(f"{len(dances)} pairs leave no choice, at least 2 are needed; add pairs")
    if direction not in ("m2d", "d2m"):
        raise ValueError(f"direction {direction!r} is unknown; pass 'm2d' or 'd2m'")
    return (songs, dances) if direction == "m2d" else (dances, songs)


def _rows(name: str, values: NDArray[np.floating]) -> F64:
    rows = np.asarray(values, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] == 0:
        raise ValueError(f"{name} of shape {rows.shape} has no rows of numbers; pass 2 axes, at least 1 column")
    return _finite(name, rows)


def _square(similarity: NDArray[np.floating]) -> F64:
    values = np.asarray(similarity, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise ValueError(
            f"similarity of shape {values.shape} is not square; pass [N, N], the true pairs on the diagonal"
        )
    if len(values) < 2:
        raise ValueError(f"{len(values)} pairs leave no choice, at least 2 are needed; add pairs")
    return _finite("similarity", values)


def _finite(name: str, values: F64) -> F64:
    wrong = int((~np.isfinite(values)).sum())
    if wrong:
        raise ValueError(
            f"{wrong} of {values.size} values of {name} are not finite, all must be; leave out their pairs"
        )
    return values


def _units(rows: F64) -> F64:
    """Rows of length 1; zero stays zero."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(length > 0.0, length, 1.0), dtype=np.float64)


def _round(values: F64) -> F64:
    return np.round(values, _DECIMALS)
