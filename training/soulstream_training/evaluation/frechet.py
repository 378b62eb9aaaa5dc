"""How two sets of dances differ, and how varied one set is, by feature vectors: FID, diversity, multimodality.

Pure arithmetic on features of any kind (``kinetic``, ``geometric``, latents). Not for: making the features.

Letters: N dances of the real set, M of the made set, D features, K dances to one song.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist

F64 = NDArray[np.float64]

ROUNDING = 1e-12
"""Distances below this share of the variance of both sets are rounding and count as 0. Source: ours."""

CONSTANT = 1e-9
"""A column that varies less than this share of its mean is constant. Source: ours."""


def frechet_distance(real: NDArray[np.floating], made: NDArray[np.floating]) -> float:
    """Frechet distance of the Gaussians fitted to two sets.

    Exact for any number of dances, fewer than features too: with X and Y the centred sets over ``sqrt(N - 1)`` and
    ``sqrt(M - 1)``, the trace of ``(S1 S2)^(1/2)`` is the sum of the singular values of ``X Y^T``. No root of a small
    eigenvalue is taken, so nothing is added to the diagonal and nothing is clipped. With few dances the value is still
    too high, as every FID is: compare only sets of like size.

    Args:
        real: [N, D] features, N >= 1; one dance alone has no variance.
        made: [M, D] features, M >= 1.

    Returns:
        ``|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))``, not negative; 0 for equal sets.

    Raises:
        ValueError: If a set is not [N, D] with N at least 1, the D differ, or a value is not finite.

    Source: Heusel et al. (2017), eq. 6; the form by singular values is ours.
    """
    first, second = _pair(real, made)
    apart = first.mean(0) - second.mean(0)
    factor_1, factor_2 = _factor(first), _factor(second)
    variance = float((factor_1**2).sum() + (factor_2**2).sum())
    common = float(np.linalg.svd(factor_1 @ factor_2.T, compute_uv=False).sum())
    spread = variance - 2.0 * common
    return float(apart @ apart) + (spread if spread > ROUNDING * variance else 0.0)


def normalised(real: NDArray[np.floating], made: NDArray[np.floating]) -> tuple[F64, F64]:
    """Both sets in units of the REAL set: less its mean, over its standard deviation, column by column.

    Args:
        real: [N, D] features, N >= 1.
        made: [M, D] features.

    Returns:
        [N, D] and [M, D] float64. A column that is constant in the real set is only centred.

    Raises:
        ValueError: If a set is not [N, D] with N at least 1, the D differ, or a value is not finite.

    Source: Bailando (Siyao et al., 2022), ``method.md`` 8.1; what happens to constant columns is ours.
    """
    first, second = _pair(real, made)
    mean, deviation = first.mean(0), first.std(0)
    scale = np.where(deviation > CONSTANT * np.abs(mean), deviation, 1.0)
    return (first - mean) / scale, (second - mean) / scale


def diversity(features: NDArray[np.floating]) -> float:
    """Mean distance of all pairs of dances.

    Args:
        features: [N, D], N >= 2; normalised by the real set for Div_k and Div_g.

    Returns:
        Mean Euclidean distance over the ``N (N - 1) / 2`` pairs.

    Raises:
        ValueError: If there are fewer than two dances or a value is not finite.
    """
    values = _checked("features", features)
    if len(values) < 2:
        raise ValueError(f"diversity of {len(values)} dance is not defined; at least 2 are needed")
    return float(pdist(values).mean())


def multimodality(songs: Sequence[NDArray[np.floating]]) -> float:
    """Mean distance of dances made to the same song; every song counts the same.

    Args:
        songs: For each song [K, D] features, K >= 2; K may differ between songs.

    Returns:
        Mean over songs of ``diversity``.

    Raises:
        ValueError: If there is no song, a song has fewer than two dances, or a value is not finite.
    """
    if len(songs) == 0:
        raise ValueError("multimodality of 0 songs is not defined; at least 1 is needed")
    return float(np.mean([diversity(song) for song in songs]))


def _factor(values: F64) -> F64:
    """[min(N, D), D] R with ``R^T R`` the covariance of values [N, D]."""
    centred = (values - values.mean(0)) / np.sqrt(max(len(values) - 1, 1))
    return np.asarray(np.linalg.qr(centred, mode="r"), dtype=np.float64)


def _pair(real: NDArray[np.floating], made: NDArray[np.floating]) -> tuple[F64, F64]:
    first, second = _checked("real", real), _checked("made", made)
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"real has {first.shape[1]} features and made has {second.shape[1]}; they must be the same")
    return first, second


def _checked(name: str, values: NDArray[np.floating]) -> F64:
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 2 or 0 in found.shape:
        raise ValueError(f"{name} is {list(found.shape)}; [N, D] is needed, N and D at least 1")
    if not np.isfinite(found).all():
        raise ValueError(f"{name} has {int((~np.isfinite(found)).sum())} values that are not finite")
    return found
