"""Retrieval scores, against ranks worked out by hand and against chance."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from soulstream_training.evaluation.retrieval import (
    cosine_similarity,
    dissimilar,
    draw_batches,
    farthest_points,
    full_gallery,
    in_batches,
    permutation_p,
    ranks,
    scores,
)

WIDTH = 16


def _unrelated(num_pairs: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    motion, music = np.random.default_rng(seed).normal(size=(2, num_pairs, WIDTH))
    return motion, music


def _related(num_pairs: int, noise: float = 0.01) -> tuple[np.ndarray, np.ndarray]:
    motion, other = _unrelated(num_pairs)
    return motion, motion + noise * other


def test_ranks_by_hand_with_ties() -> None:
    similarity = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 2.0], [5.0, 5.0, 5.0]])
    assert ranks(similarity).tolist() == [0.5, 1.0, 1.0]


def test_perfect_and_reversed_order() -> None:
    best = scores(ranks(np.eye(3)), 3)
    assert (best.r1, best.r10, best.medr) == (100.0, 100.0, 1.0)
    worst = scores(ranks(1.0 - np.eye(3)), 3)
    assert (worst.r1, worst.r2, worst.r3, worst.medr) == (0.0, 0.0, 100.0, 3.0)


def test_scores_by_hand() -> None:
    found = scores(np.array([0.0, 0.5, 1.0, 1.5, 2.0, 4.0, 9.0, 10.0]), 16)
    assert (found.r1, found.r2, found.r3, found.r5, found.r10) == (25.0, 50.0, 62.5, 75.0, 87.5)
    assert found.medr == 2.75
    assert (found.gallery, found.chance_r1) == (16, 6.25)


def test_cosine_by_hand_and_zero_latents() -> None:
    left = np.array([[2.0, 0.0], [0.0, 0.0]], np.float32)
    right = np.array([[3.0, 3.0], [-1.0, 0.0]], np.float32)
    assert cosine_similarity(left, right) == pytest.approx(np.array([[np.sqrt(0.5), -1.0], [0.0, 0.0]]))


def test_latents_that_are_all_equal_tie_in_every_place() -> None:
    latents = np.repeat(np.random.default_rng(0).normal(size=(1, 256)), 500, axis=0)  # sums differ by 1e-15 here
    assert (ranks(cosine_similarity(latents, latents)) == 249.5).all()


def test_direction_tells_who_asks() -> None:
    motion = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    music = np.array([[1.0, 0.1], [1.0, 0.2], [0.0, 1.0]])
    # music 1 is nearest to dance 0; dance 1 is nearest to music 1, as music 2 lies 45 degrees off
    assert full_gallery(motion, music, "m2d").r1 == pytest.approx(200 / 3)
    assert full_gallery(motion, music, "d2m").r1 == pytest.approx(100.0)


@pytest.mark.parametrize("direction", ["m2d", "d2m"])
def test_unrelated_latents_score_at_chance(direction) -> None:
    motion, music = _unrelated(400)
    full = full_gallery(motion, music, direction)
    assert full.gallery == 400
    assert full.r10 == pytest.approx(2.5, abs=2.4)  # three standard errors of 400 queries
    assert full.medr == pytest.approx(200.5, abs=30.0)
    batches = in_batches(motion, music, direction)
    assert batches.gallery == 32
    assert batches.r1 == pytest.approx(batches.chance_r1, abs=0.9)  # measured 0.10 and -0.30
    assert batches.medr == pytest.approx(16.5, abs=1.5)


def test_related_latents_are_found_in_every_protocol() -> None:
    motion, music = _related(120)
    for found in (
        full_gallery(motion, music, "m2d"),
        in_batches(motion, music, "d2m", repeats=3),
        dissimilar(motion, music, "m2d", embedding=music),
    ):
        assert (found.r1, found.medr) == (100.0, 1.0)


def test_the_gallery_is_told() -> None:
    motion, music = _related(120)
    assert full_gallery(motion, music, "m2d").gallery == 120
    assert in_batches(motion, music, "m2d").gallery == 32
    assert in_batches(motion[:20], music[:20], "m2d").gallery == 20
    assert in_batches(motion, music, "m2d", group=np.arange(120) % 7).gallery == 7
    assert in_batches(motion, music, "m2d", group=np.arange(120) % 40).gallery == 32
    assert dissimilar(motion, music, "m2d", embedding=music).gallery == 100
    assert dissimilar(motion[:20], music[:20], "m2d", embedding=music[:20]).gallery == 20


def test_batches_hold_distinct_pairs_and_leave_the_remainder_out() -> None:
    batches = draw_batches(70, size=32, repeats=5, seed=1)
    assert batches.shape == (10, 32)
    for shuffle in batches.reshape(5, 64):
        assert len(set(shuffle.tolist())) == 64
    assert set(batches.ravel().tolist()) == set(range(70)), "every pair is drawn in some shuffle"
    assert (batches == draw_batches(70, size=32, repeats=5, seed=1)).all()
    assert (batches != draw_batches(70, size=32, repeats=5, seed=2)).any()


def test_no_group_is_twice_in_a_batch() -> None:
    group = np.repeat(np.arange(50), np.arange(1, 51))
    batches = draw_batches(len(group), group=group, size=16, repeats=200)
    assert batches.shape == (3 * 200, 16)
    assert all(len(np.unique(group[batch])) == 16 for batch in batches)
    drawn = np.bincount(batches.ravel(), minlength=len(group))[group == 19]
    assert len(drawn) == 20
    assert drawn.min() > 0, "any pair of a group can be drawn"


def test_groups_of_equal_latents_are_no_rivals() -> None:
    group = np.repeat(np.arange(WIDTH), 4)
    latents = np.eye(WIDTH)[group]
    assert in_batches(latents, latents, "m2d", size=8, repeats=5).r1 < 100.0
    assert in_batches(latents, latents, "m2d", size=8, repeats=5, group=group).r1 == 100.0


def test_farthest_points_by_hand() -> None:
    degrees = np.deg2rad([0.0, 10.0, 20.0, 90.0, 100.0])
    directions = np.stack([np.cos(degrees), np.sin(degrees)], axis=1) * np.array([[1], [2], [3], [4], [5]])
    # the mean points to 42 degrees; 100 is farthest from it, then 0, then 20 and not 10
    assert farthest_points(directions, 3).tolist() == [4, 0, 2]
    assert sorted(farthest_points(directions, 9).tolist()) == [0, 1, 2, 3, 4]


def test_one_pair_of_each_cluster_is_chosen() -> None:
    cluster = np.arange(90) % 9
    embedding = np.eye(WIDTH)[cluster] + 0.02 * np.random.default_rng(0).normal(size=(90, WIDTH))
    assert sorted(cluster[farthest_points(embedding, 9)].tolist()) == list(range(9))
    motion, music = np.eye(WIDTH)[cluster], embedding
    assert full_gallery(motion, music, "m2d").r1 == 0.0, "ten dances of a cluster tie"
    assert dissimilar(motion, music, "m2d", embedding=embedding, size=9).r1 == 100.0


def test_equal_and_zero_embeddings_are_chosen_once() -> None:
    assert farthest_points(np.ones((4, 2)), 3).tolist() == [0, 1, 2]
    assert sorted(farthest_points(np.zeros((3, 2)), 3).tolist()) == [0, 1, 2]


def test_true_pairs_are_significant_and_unrelated_ones_are_not() -> None:
    assert permutation_p(cosine_similarity(*_related(100, noise=1.0))) == pytest.approx(1 / 1001)
    assert permutation_p(cosine_similarity(*_unrelated(100))) > 0.05
    p_values = [permutation_p(cosine_similarity(*_unrelated(40, seed)), permutations=200) for seed in range(40)]
    assert np.mean(np.array(p_values) < 0.05) <= 0.15
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.15)  # three standard errors of 40 uniform values


def test_permutations_by_hand() -> None:
    assert permutation_p(np.ones((5, 5))) == 1.0
    assert permutation_p(1.0 - np.eye(3)) == 1.0
    assert permutation_p(np.eye(3)) == pytest.approx(1 / 6, abs=0.04)  # one of six pairings is the real one


_M, _A = _unrelated(6)
_HOLE = np.where(np.arange(6)[:, None] == 2, np.nan, _A)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: full_gallery(_M, _A[:5], "m2d"),
            r"motion of shape \(6, 16\) and music of \(5, 16\) are no pairs; pass",
        ),
        (lambda: full_gallery(_M[:1], _A[:1], "m2d"), "1 pairs leave no choice, at least 2 are needed; add pairs"),
        (lambda: full_gallery(_M, _HOLE, "m2d"), "16 of 96 values of music are not finite, all must be; leave out"),
        (lambda: full_gallery(_M[0], _A[0], "m2d"), r"motion of shape \(16,\) has no rows of numbers; pass 2 axes"),
        (lambda: full_gallery(_M, _A, "a2b"), "direction 'a2b' is unknown; pass 'm2d' or 'd2m'"),
        (lambda: cosine_similarity(_M, _A[:, :3]), r"shapes \(6, 16\) and \(6, 3\) are no pairs; pass"),
        (lambda: ranks(_M), r"shape \(6, 16\) is not square; pass \[N, N\]"),
        (lambda: ranks(np.ones((1, 1))), "1 pairs leave no choice, at least 2"),
        (lambda: ranks(np.full((2, 2), np.inf)), "4 of 4 values of similarity are not finite"),
        (lambda: scores(np.zeros(3), 1), "a gallery of 1 leaves no choice, at least 2 are needed; add pairs"),
        (lambda: scores(np.zeros(0), 2), r"ranks of shape \(0,\) cannot be scored; pass \[Q\]"),
        (lambda: scores(np.array([0.0, 3.0]), 3), r"ranks 0.0..3.0 lie outside 0..2; pass 0-based ranks"),
        (lambda: in_batches(_M, _A, "m2d", group=np.zeros(5, int)), r"groups of shape \(5,\) for 6 pairs; pass one"),
        (lambda: in_batches(_M, _A, "m2d", group=np.zeros(6, int)), "1 groups make no batch, at least 2 are needed"),
        (lambda: in_batches(_M, _A, "m2d", size=1), "batches of 1 and 50 repeats: raise them to at least 2 and 1"),
        (lambda: dissimilar(_M, _A, "m2d", embedding=_A[:4]), "4 embeddings for 6 pairs; pass one row a pair"),
        (lambda: dissimilar(_M, _A, "m2d", embedding=_HOLE), "16 of 96 values of embedding are not finite"),
        (lambda: farthest_points(_A, 1), "a choice of 1 rows leaves nothing to compare; raise it to at least 2"),
        (lambda: permutation_p(np.eye(3), permutations=0), "0 permutations tell nothing; raise them to at least 1"),
    ],
)
def test_bad_input_is_refused_with_its_numbers(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
