"""Confidence intervals of a score, over songs: what would it be with other songs of this kind?

Dances to one song are no independent evidence, so whole songs are drawn, with all that belongs to them; never windows.
With fewer than about ten songs the intervals are narrower than they say.

Letters: S songs, R resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

RESAMPLES = 2000
"""Resamples of a plain number. Source: ours; the ends of an interval then move by a few per cent of its width."""

SET_RESAMPLES = 200
"""Resamples of a statistic of a whole set, which is slow. Source: ours."""

LEVEL = 0.95
"""Probability that an interval holds the truth."""

Song = TypeVar("Song", bound=Hashable)
Item = TypeVar("Item")
Group = TypeVar("Group")


@dataclass(frozen=True, slots=True)
class Interval:
    """A score and its interval; with one song ``low`` and ``high`` are the score, because nothing is known."""

    value: float
    low: float
    high: float


def mean(values: F64) -> float:
    """Mean of values [N]."""
    return float(values.mean())


def by_song(songs: Sequence[Song], items: Sequence[Item]) -> dict[Song, list[Item]]:
    """Items by the song that each belongs to.

    Args:
        songs: Song of each item.
        items: As many.

    Returns:
        The items of each song, in their order.

    Raises:
        ValueError: If there are not as many songs as items.
    """
    if len(songs) != len(items):
        raise ValueError(f"{len(songs)} songs for {len(items)} items: each item needs the song that it belongs to")
    grouped: dict[Song, list[Item]] = {}
    for song, item in zip(songs, items, strict=True):
        grouped.setdefault(song, []).append(item)
    return grouped


def bootstrap(
    values_by_song: Mapping[Song, Sequence[float]],
    statistic: Callable[[F64], float] = mean,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> Interval:
    """Percentile interval of a statistic of numbers.

    Args:
        values_by_song: Numbers of each song (see ``by_song``). A song with more of them weighs more: for songs of equal
            weight give one number each.
        statistic: From all values [N] float64 to a number.
        resamples: R.
        seed: The same seed gives the same interval, in whatever order the songs are.
        level: Between 0 and 1.

    Returns:
        The statistic of all values, and its interval.

    Raises:
        ValueError: If there is no song, a song has no values, a statistic is not finite, or a setting is out of its
            range.

    Source: the percentile bootstrap (Efron, 1979), of clusters.
    """
    groups = [np.asarray(group, dtype=np.float64) for group in _groups(values_by_song)]

    def of_songs(picked: list[F64]) -> float:
        return statistic(np.concatenate(picked))

    low, high = np.quantile(_draws(groups, of_songs, resamples, seed, level), _ends(level))
    return Interval(float(of_songs(groups)), float(low), float(high))


def bootstrap_sets(
    items_by_song: Mapping[Song, Sequence[Item]],
    statistic: Callable[[list[Item]], float],
    *,
    resamples: int = SET_RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> Interval:
    """Interval of a statistic of a whole set, such as a Frechet distance to a reference that stays fixed.

    A resample holds some songs twice and others not at all, so distances and diversities come out biased. The interval
    is therefore the spread of the resamples, laid about the value by their mean: it tells how much the score depends
    on the choice of songs, not how much the score is biased for having so few.

    Args:
        items_by_song: Items of each song (see ``by_song``), such as dances or their features.
        statistic: From a list of items, some of them repeated, to a number.
        resamples: R.
        seed: The same seed gives the same interval, in whatever order the songs are.
        level: Between 0 and 1.

    Returns:
        The statistic of all items, and its interval.

    Raises:
        ValueError: As ``bootstrap``.

    Source: ours.
    """
    groups = _groups(items_by_song)

    def of_songs(picked: list[Sequence[Item]]) -> float:
        return statistic([item for group in picked for item in group])

    value = of_songs(groups)
    drawn = _draws(groups, of_songs, resamples, seed, level)
    low, high = value + np.quantile(drawn, _ends(level)) - drawn.mean()
    return Interval(float(value), float(low), float(high))


def _groups(by_name: Mapping[Song, Sequence[Item]]) -> list[Sequence[Item]]:
    """Items of the songs, ordered by the songs' names."""
    empty = sorted(str(song) for song, items in by_name.items() if len(items) == 0)
    if not by_name or empty:
        raise ValueError(f"{len(by_name)} songs, of which {empty} have no values: leave them out, one is needed")
    return [by_name[song] for song in sorted(by_name, key=str)]


def _draws(
    groups: list[Group], statistic: Callable[[list[Group]], float], resamples: int, seed: int, level: float
) -> F64:
    """Statistic [R] of as many songs as there are, drawn with repetition; one song needs no more than one draw."""
    if resamples < 1 or not 0.0 < level < 1.0:
        raise ValueError(f"{resamples} resamples at level {level}: at least 1, and a level between 0 and 1 are needed")
    size = (resamples if len(groups) > 1 else 1, len(groups))
    picks = np.random.default_rng(seed).integers(len(groups), size=size)
    drawn = np.array([statistic([groups[song] for song in pick]) for pick in picks], dtype=np.float64)
    if not np.isfinite(drawn).all():
        wrong = int((~np.isfinite(drawn)).sum())
        raise ValueError(f"the statistic of {wrong} of {len(drawn)} draws is not finite: leave out what has no number")
    return drawn


def _ends(level: float) -> tuple[float, float]:
    """Quantiles at the ends of an interval."""
    return (1.0 - level) / 2.0, (1.0 + level) / 2.0
