"""Intervals: they hold the truth as often as they say, and only songs narrow them."""

from __future__ import annotations

import numpy as np
import pytest

from soulstream_training.evaluation.intervals import Interval, bootstrap, bootstrap_sets, by_song


def drawn(seed: int, num_songs: int, num_windows: int) -> dict[str, list[float]]:
    """Windows that differ by 0.2 within a song, songs that differ by 1, about a mean of 5."""
    generator = np.random.default_rng(seed)
    return {
        f"song {song}": list(generator.normal(5.0, 1.0) + generator.normal(0.0, 0.2, num_windows))
        for song in range(num_songs)
    }


def squared_distance_to_origin(items: list[np.ndarray]) -> float:
    """As a Frechet distance, of which sampling makes more: squared mean plus the variance of the mean."""
    return float((np.mean(items, axis=0) ** 2).sum())


def test_the_mean_is_covered_as_often_as_is_said() -> None:
    intervals = [bootstrap(drawn(seed, 20, 5), resamples=400) for seed in range(100)]
    covered = sum(found.low <= 5.0 <= found.high for found in intervals)
    assert 88 <= covered <= 99  # measured: 93


def test_width_is_that_of_the_mean_of_the_songs() -> None:
    found = bootstrap(drawn(0, 400, 1))
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.hypot(1.0, 0.2) / 20, rel=0.15)
    assert found.low < found.value < found.high


def test_windows_of_the_same_songs_do_not_narrow_it_but_songs_do() -> None:
    few = drawn(1, 12, 4)
    many = {song: values * 50 for song, values in few.items()}
    assert bootstrap(many).low == pytest.approx(bootstrap(few).low)
    assert bootstrap(many).high == pytest.approx(bootstrap(few).high)
    wide, narrow = bootstrap(few), bootstrap(drawn(1, 120, 4))
    assert narrow.high - narrow.low < 0.5 * (wide.high - wide.low)


def test_one_song_says_nothing() -> None:
    assert bootstrap({"a": [1.0, 2.0, 6.0]}) == Interval(3.0, 3.0, 3.0)
    assert bootstrap_sets({"a": [np.ones(2)] * 3}, squared_distance_to_origin) == Interval(2.0, 2.0, 2.0)


def test_two_songs_by_hand() -> None:
    """Draws are (a, a), a mix twice as often, and (b, b): the ends are the songs alone."""
    assert bootstrap({"a": [0.0], "b": [1.0]}) == Interval(0.5, 0.0, 1.0)
    found = bootstrap({"a": [0.0], "b": [1.0, 1.0]}, level=0.4)
    assert found == Interval(pytest.approx(2 / 3), pytest.approx(2 / 3), pytest.approx(2 / 3))


def test_it_is_the_same_with_the_seed_in_any_order() -> None:
    values = drawn(2, 9, 3)
    turned = dict(reversed(values.items()))
    assert bootstrap(values, seed=4) == bootstrap(turned, seed=4)
    assert bootstrap(values, seed=4) != bootstrap(values, seed=5)
    items = {song: [np.array([value]) for value in group] for song, group in values.items()}
    again = dict(reversed(items.items()))
    assert bootstrap_sets(items, squared_distance_to_origin) == bootstrap_sets(again, squared_distance_to_origin)


def test_other_statistics_and_levels() -> None:
    values = drawn(3, 15, 3)
    middle = bootstrap(values, lambda all_values: float(np.median(all_values)))
    assert middle.value == pytest.approx(np.median(np.concatenate(list(values.values()))))
    sure, unsure = bootstrap(values, level=0.99), bootstrap(values, level=0.5)
    assert sure.low < unsure.low < unsure.high < sure.high


def test_the_interval_of_a_set_holds_its_value_although_resampling_raises_the_statistic() -> None:
    generator = np.random.default_rng(0)
    items = {song: list(generator.normal(size=(3, 40))) for song in range(10)}
    seen: list[float] = []

    def statistic(picked: list[np.ndarray]) -> float:
        seen.append(squared_distance_to_origin(picked))
        return seen[-1]

    found = bootstrap_sets(items, statistic)
    assert len(seen) == 201
    assert found.value == seen[0]
    assert np.quantile(seen[1:], 0.025) > found.value  # a percentile interval would lie beside it
    assert found.low < found.value < found.high


def test_a_resample_holds_whole_songs() -> None:
    items = {"a": [1, 1], "b": [2, 2, 2], "c": [3]}

    def whole(picked: list[int]) -> float:
        assert picked.count(1) % 2 == 0
        assert picked.count(2) % 3 == 0
        assert picked.count(1) // 2 + picked.count(2) // 3 + picked.count(3) == 3
        return 0.0

    assert bootstrap_sets(items, whole) == Interval(0.0, 0.0, 0.0)


def test_grouping() -> None:
    assert by_song(["a", "b", "a"], [1.0, 2.0, 3.0]) == {"a": [1.0, 3.0], "b": [2.0]}
    with pytest.raises(ValueError, match="2 songs for 1 items"):
        by_song(["a", "b"], [1.0])


def test_what_has_no_interval_is_refused() -> None:
    with pytest.raises(ValueError, match="0 songs"):
        bootstrap({})
    with pytest.raises(ValueError, match=r"2 songs, of which \['b'\] have no values"):
        bootstrap({"a": [1.0], "b": []})
    with pytest.raises(ValueError, match="of 1 of 1 draws is not finite"):
        bootstrap({"a": [np.nan]})
    with pytest.raises(ValueError, match=r"0 resamples at level 0\.95"):
        bootstrap({"a": [1.0]}, resamples=0)
    with pytest.raises(ValueError, match=r"2000 resamples at level 1\.0"):
        bootstrap({"a": [1.0]}, level=1.0)
