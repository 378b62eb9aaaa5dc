"""Of several plans the one is danced whose rests fall on the expected beats."""

from __future__ import annotations

import numpy as np
import pytest

from soulstream_engine.sampling.foresight import SURE, Foresight

FRAMES, DELAY, BPM = 32, 2, 120.0
PHASE = (0.3 + np.arange(FRAMES) / 30 * BPM / 60) % 1.0
SURELY = np.ones(FRAMES)


def pace(rests: list[float]) -> np.ndarray:
    """[FRAMES] speed that dips at these motion frames, counted from the first planned one."""
    frame = np.arange(FRAMES) - 0.5 - DELAY  # half a frame before the decoded row, which lags
    dips = sum(np.exp(-0.5 * ((frame - rest) / 3.0) ** 2) for rest in rests)
    return (1.0 - 0.8 * dips).astype(np.float32)


def beat(number: int) -> float:
    """Frame of a beat after the first planned frame."""
    return (number - 0.3) * 15.0


def choose(foresight: Foresight, *plans: np.ndarray, confidence: float = 1.0) -> int:
    return foresight.choose(np.stack(plans), PHASE, np.full(FRAMES, BPM), SURELY * confidence)


@pytest.mark.parametrize("late", [-7.5, -4.0, 4.0, 7.5])
def test_a_rest_on_the_beat_beats_one_beside_it(late: float) -> None:
    foresight = Foresight(DELAY)
    assert choose(foresight, pace([beat(1) + late]), pace([beat(1)])) == 1
    assert choose(foresight, pace([beat(1)]), pace([beat(1) + late])) == 0


def test_no_rest_beats_one_off_the_beat_and_loses_to_one_on_it() -> None:
    foresight = Foresight(DELAY)
    steady = np.linspace(1.0, 1.2, FRAMES).astype(np.float32)
    assert choose(foresight, pace([beat(1) + 7.5]), steady) == 1
    assert choose(foresight, steady, pace([beat(1)])) == 1


def test_the_near_future_counts_for_more() -> None:
    foresight = Foresight(DELAY)
    near, far = pace([beat(1), beat(2) + 7.5]), pace([beat(1) + 7.5, beat(2)])
    assert choose(foresight, far, near) == 1


def test_nothing_is_expected_from_a_clock_that_is_not_sure() -> None:
    foresight = Foresight(DELAY)
    assert choose(foresight, pace([beat(1) + 7.5]), pace([beat(1)]), confidence=SURE / 2) == 0
    assert choose(foresight, pace([beat(1) + 7.5])) == 0


def test_a_rest_at_the_seam_is_seen_with_the_pace_that_was_danced() -> None:
    """It lies on the edge of the plan: without the frames before it, it is no minimum."""
    foresight = Foresight(DELAY)
    phase = (0.17 + np.arange(FRAMES) / 30 * BPM / 60) % 1.0  # a beat 2.5 frames before the first planned frame
    stopping, going_on = np.linspace(0.3, 0.1, FRAMES), np.linspace(0.3, 1.2, FRAMES)
    arguments = (np.stack([stopping, going_on]).astype(np.float32), phase, np.full(FRAMES, BPM), SURELY)
    assert foresight.choose(*arguments) == 0
    foresight.danced(np.linspace(1.2, 0.3, 16).astype(np.float32), 16)
    assert foresight.choose(*arguments) == 1
    foresight.reset()
    assert foresight.choose(*arguments) == 0


def test_what_the_start_of_a_stream_spoils_counts_for_nothing() -> None:
    """The decoder's smoother mixes its zero start into its first 2 x delay rows: wild values there are no rest."""
    plans = np.stack([pace([beat(1)]), pace([beat(1) + 7.5])])
    for wild in (0.0, 40.0):
        plans[:, : 2 * DELAY + 1] = wild
        assert Foresight(DELAY).choose(plans, PHASE, np.full(FRAMES, BPM), SURELY) == 0


def test_phase_may_wrap_within_the_plan() -> None:
    foresight = Foresight(DELAY)
    for shift in np.arange(0.0, 1.0, 0.1):
        phase = (PHASE + shift) % 1.0
        on = ((1.0 - (0.3 + shift) % 1.0) % 1.0 + 1.0) * 15.0 % 15.0 + (15.0 if shift > 0.5 else 0.0)
        plans = np.stack([pace([on + 7.5 if on < 10 else on - 7.5]), pace([on])])
        assert foresight.choose(plans, phase, np.full(FRAMES, BPM), SURELY) == 1
