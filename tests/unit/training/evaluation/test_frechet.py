"""Frechet distance, diversity and multimodality: closed forms, and robustness where dances are few."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from soulstream_training.evaluation.frechet import diversity, frechet_distance, multimodality, normalised


def _exact(mean: np.ndarray, covariance: np.ndarray, num: int = 200, seed: int = 0) -> np.ndarray:
    """[num, D] values whose sample mean and covariance are exactly those given."""
    values = np.random.default_rng(seed).normal(size=(num, len(mean)))
    values -= values.mean(0)
    white = values @ np.linalg.inv(np.linalg.cholesky(np.atleast_2d(np.cov(values.T)))).T
    return white @ np.linalg.cholesky(covariance).T + mean


def test_one_dimension() -> None:
    real = _exact(np.array([1.0]), np.array([[4.0]]))
    made = _exact(np.array([4.0]), np.array([[25.0]]), seed=1)
    assert frechet_distance(real, made) == pytest.approx(3.0**2 + (2.0 - 5.0) ** 2)


def test_covariances_that_commute() -> None:
    real = _exact(np.zeros(3), np.diag([1.0, 4.0, 9.0]))
    made = _exact(np.array([0.0, 2.0, 0.0]), np.diag([9.0, 4.0, 1.0]), num=70, seed=1)
    assert frechet_distance(real, made) == pytest.approx(4.0 + 4.0 + 0.0 + 4.0)


def test_covariances_that_do_not_commute() -> None:
    generator = np.random.default_rng(3)
    first, second = (generator.normal(size=(4, 4)) for _ in range(2))
    one, two = first @ first.T + np.eye(4), second @ second.T + np.eye(4)
    expected = np.trace(one) + np.trace(two) - 2.0 * np.trace(sqrtm(one @ two).real)
    found = frechet_distance(_exact(np.zeros(4), one), _exact(np.zeros(4), two, seed=1))
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("num", [1, 2, 5, 40, 150])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e5])
def test_a_set_is_no_distance_from_itself(num: int, scale: float) -> None:
    generator = np.random.default_rng(num)
    values = scale * generator.normal(size=(num, 66)) * np.logspace(-6, 2, 66) + 1000.0
    values[:, 7] = 3.0
    assert frechet_distance(values, values) < 1e-3
    assert frechet_distance(values, values[::-1].copy()) < 1e-3
    real, made = normalised(values, values)
    assert frechet_distance(real, made) < 1e-3


def test_single_dances_are_as_far_as_they_are_apart() -> None:
    assert frechet_distance(np.zeros((1, 66)), np.full((1, 66), 0.5)) == pytest.approx(66 * 0.25)


def test_distance_is_symmetric_and_grows_with_the_difference() -> None:
    generator = np.random.default_rng(0)
    real, made = generator.normal(size=(30, 66)), generator.normal(size=(20, 66))
    assert frechet_distance(real, made) == pytest.approx(frechet_distance(made, real))
    assert frechet_distance(real, made + 1.0) > frechet_distance(real, made) > 0.0


def test_normalised_by_the_real_set() -> None:
    real = np.array([[0.0, 5.0, 0.1], [2.0, 5.0, 0.1], [4.0, 5.0, 0.1]])
    made = np.array([[2.0, 8.0, 0.1]])
    first, second = normalised(real, made)
    assert first.mean(0) == pytest.approx(0.0)
    assert first[:, 0].std() == pytest.approx(1.0)
    assert second[0] == pytest.approx([0.0, 3.0, 0.0])
    assert first[:, 1:] == pytest.approx(0.0)


def test_diversity() -> None:
    assert diversity(np.array([[0.0, 0.0], [3.0, 4.0]])) == pytest.approx(5.0)
    assert diversity(np.array([[0.0], [1.0], [3.0]])) == pytest.approx((1.0 + 3.0 + 2.0) / 3.0)
    assert diversity(np.ones((4, 2))) == 0.0


def test_multimodality_looks_within_songs() -> None:
    songs = [np.array([[0.0], [2.0]]), np.array([[100.0], [100.0], [106.0]])]
    assert multimodality(songs) == pytest.approx((2.0 + 4.0) / 2.0)


def test_refused() -> None:
    with pytest.raises(ValueError, match="real has 3 features and made has 4"):
        frechet_distance(np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"made is \[0, 3\]"):
        frechet_distance(np.zeros((2, 3)), np.zeros((0, 3)))
    with pytest.raises(ValueError, match="real has 6 values that are not finite"):
        normalised(np.full((2, 3), np.nan), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="diversity of 1 dance"):
        diversity(np.zeros((1, 3)))
    with pytest.raises(ValueError, match="0 songs"):
        multimodality([])
