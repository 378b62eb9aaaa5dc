from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fakes.toy_network import SHAPE, ToyNetwork, feature_frame

from soulstream_engine.features.extrapolate import extrapolate, read_clock, write_clock
from soulstream_engine.features.layout import COLUMNS, NUM_FEATURES
from soulstream_engine.frames import MotionChunk
from soulstream_engine.sampling.dancer import Dancer, DancerSettings, PlanSource
from soulstream_engine.sampling.masked import SamplerSettings

LEAD, LOOK_AHEAD = 8, 2
SETTINGS = DancerSettings(lead_frames=LEAD, look_ahead_frames=LOOK_AHEAD)
TICK_FRAMES = SHAPE.commit * 4


def make_dancer(
    network: ToyNetwork, settings: DancerSettings = SETTINGS, plan_source: PlanSource | None = None
) -> Dancer:
    sampler = SamplerSettings(iterations=2, keep_share=1.0)
    return Dancer(SHAPE, network.run, network.decoder_states(), settings, sampler, 0, plan_source)


def dance(dancer: Dancer, first: int, count: int) -> dict[int, MotionChunk]:
    """Chunks by the index of the frame at which they came."""
    made = {index: dancer.push(feature_frame(index)) for index in range(first, first + count)}
    return {index: chunk for index, chunk in made.items() if chunk is not None}


def test_first_frame_lies_one_lead_after_what_was_heard() -> None:
    dancer = make_dancer(ToyNetwork())
    for index in range(5):
        dancer.listen(feature_frame(index))
    assert not dancer.is_dancing
    assert dancer.start() == 5 + 1 + LEAD, "the tick runs when frame 5 has been heard"
    assert dancer.is_dancing


def test_ticks_come_as_late_as_the_lead_allows() -> None:
    dancer = make_dancer(ToyNetwork())
    dancer.listen(feature_frame(0))
    first = dancer.start()
    chunks = dance(dancer, 1, 40)
    planned = first
    for number, (index, chunk) in enumerate(chunks.items()):
        assert index == planned - 1 - LEAD
        assert chunk.start_index == planned - (LOOK_AHEAD if number else 0)
        planned += TICK_FRAMES
    assert len(chunks) == 5


def test_chunks_follow_each_other_without_gaps_and_carry_the_decoder_on() -> None:
    dancer = make_dancer(ToyNetwork())
    dancer.listen(feature_frame(0))
    first = dancer.start()
    chunks = list(dance(dancer, 1, 60).values())
    motion = np.concatenate([chunk.motion for chunk in chunks])
    indices = np.concatenate([chunk.start_index + np.arange(len(chunk.motion)) for chunk in chunks])
    assert indices.tolist() == list(range(first, first + len(motion)))
    # The fake decoder counts its rows; row i is motion frame i - look-ahead.
    assert motion[:, 0].tolist() == list(range(LOOK_AHEAD, LOOK_AHEAD + len(motion)))
    assert {chunk.epoch for chunk in chunks} == {1}
    assert all(chunk.codes.shape == (SHAPE.num_parts, SHAPE.levels, SHAPE.commit) for chunk in chunks)


def test_a_skipped_or_repeated_feature_frame_is_refused() -> None:
    dancer = make_dancer(ToyNetwork())
    dancer.listen(feature_frame(3))
    for index in (3, 5):
        with pytest.raises(ValueError, match="must follow 3"):
            dancer.push(feature_frame(index))


def test_start_resets_memory_and_decoder_but_not_the_draws() -> None:
    network = ToyNetwork()
    dancer = make_dancer(network)
    dancer.listen(feature_frame(0))
    dancer.start()
    first = list(dance(dancer, 1, 30).values())
    dancer.stop()
    assert dance(dancer, 31, 20) == {}
    mark = len(network.calls)
    start = dancer.start()
    assert start == 51 + 1 + LEAD
    again = list(dance(dancer, 51, 30).values())
    assert again[0].start_index == start
    assert len(again[0].motion) == TICK_FRAMES - LOOK_AHEAD
    assert again[0].motion[0, 0] == LOOK_AHEAD
    assert {chunk.epoch for chunk in again} == {2}
    call = next(inputs for name, inputs in network.calls[mark:] if name == "mask")
    assert not call["past_valid"].any()
    assert not np.array_equal(first[0].codes, again[0].codes), "an epoch must not repeat the draws of the one before"


@pytest.mark.parametrize("pause", range(1, 12))
def test_frames_are_given_out_once_however_short_a_pause_is(pause: int) -> None:
    """A break in the music just long enough to count as silence ends an epoch whose frames lie ahead of the sound."""
    dancer = make_dancer(ToyNetwork())
    dancer.listen(feature_frame(0))
    dancer.start()
    chunks = dance(dancer, 1, 20)
    dancer.stop()
    dance(dancer, 21, pause)
    start = dancer.start()
    given = max(chunk.start_index + len(chunk.motion) for chunk in chunks.values())
    assert start == max(given, 21 + pause + 1 + LEAD)
    later = dance(dancer, 21 + pause, 30)
    assert min(chunk.start_index for chunk in later.values()) == start


def test_music_before_the_stream_does_not_exist() -> None:
    seen: list[tuple[int, np.ndarray, np.ndarray]] = []

    def remember(tick: int, rows: np.ndarray, valid: np.ndarray) -> np.ndarray:
        seen.append((tick, rows, valid))
        return np.zeros((SHAPE.candidates, SHAPE.num_parts, SHAPE.planned, SHAPE.levels), np.int64)

    dancer = make_dancer(ToyNetwork(), plan_source=remember)
    dancer.listen(feature_frame(0))
    first = dancer.start()
    dance(dancer, 1, 60)
    assert len(seen) > 5
    for tick, rows, valid in seen:
        token_first = first + (tick - 1) * TICK_FRAMES - SHAPE.fresh_past * 4 + np.arange(len(valid)) * 4
        assert valid.tolist() == (token_first >= 0).tolist()
        heard_until = 1 if tick == 0 else first + tick * TICK_FRAMES - LEAD - 1
        frame = token_first[:, None] + np.arange(4)
        is_heard = valid[:, None] & (frame <= heard_until)
        assert np.array_equal(rows[..., 0][is_heard], frame[is_heard])
        assert rows[..., COLUMNS["heard"]][is_heard].all()
        ahead = valid[:, None] & ~is_heard
        assert (rows[..., 0][ahead] == heard_until).all()
        assert not rows[..., COLUMNS["heard"]][ahead].any()


def test_rows_ahead_of_the_sound_are_the_clock_run_forward() -> None:
    network = ToyNetwork()
    dancer = make_dancer(network)
    dancer.listen(feature_frame(0))
    dancer.start()
    frames = []
    for index in range(1, 50):
        values = np.random.default_rng(index).normal(size=NUM_FEATURES).astype(np.float32)
        write_clock(values, np.asarray(index / 30 * 2.0), np.asarray(120.0), np.asarray(0.8))
        values[COLUMNS["heard"]] = 1.0
        frames.append(values)
        if dancer.push(replace(feature_frame(index), values=values)) is not None:
            rows = network.named("music")[-1]["rows"].reshape(-1, NUM_FEATURES)
            ahead = int((rows[:, COLUMNS["heard"]][:, 0] == 0).sum())
            if index > 16:
                assert ahead == LEAD + SHAPE.planned * 4
                assert np.array_equal(rows[-ahead:], extrapolate(values, ahead))
                assert np.array_equal(rows[:-ahead], np.stack(frames)[-(len(rows) - ahead) :])


def test_the_chosen_plan_is_what_is_committed_shown_and_gone_on_from() -> None:
    """Three plans, of which only one rests on the expected beat: everything after the choice follows that one."""
    network = ToyNetwork()
    dancer = make_dancer(network)
    chosen = 2
    for index in range(60):
        values = np.zeros(NUM_FEATURES, np.float32)
        write_clock(values, np.asarray(index / 30 * 2.0), np.asarray(120.0), np.asarray(1.0))
        # At the next planned frames, a beat lies where (first + n) / 15 is whole; rows lag by the look-ahead.
        planned = index + 1 + LEAD + np.arange(SHAPE.planned * 4) - LOOK_AHEAD - 0.5
        away = (planned / 15 + 0.5) % 1.0 - 0.5
        dips = np.exp(-0.5 * (away * 15 / 3.0) ** 2), np.exp(-0.5 * ((abs(away) - 0.5) * 15 / 3.0) ** 2)
        network.pace = np.stack([1.0 - 0.8 * dips[1]] * chosen + [1.0 - 0.8 * dips[0]]).astype(np.float32)
        frame = replace(feature_frame(index), values=values)
        if not dancer.is_dancing:
            dancer.listen(frame)
            dancer.start()
            continue
        calls = len(network.calls)
        chunk = dancer.push(frame)
        if chunk is None:
            continue
        tick = network.calls[calls:]
        plans = next(inputs["codes"] for name, inputs in tick if name == "decoder")
        committed = [inputs for name, inputs in tick if name in ("mask", "residual") and inputs["committing"][0] == 1.0]
        assert len({plan[:, : SHAPE.commit].tobytes() for plan in plans}) == SHAPE.candidates, "plans must differ"
        assert np.array_equal(chunk.codes, plans[chosen, :, : SHAPE.commit].transpose(0, 2, 1))
        flat = plans[chosen].transpose(1, 0, 2).reshape(SHAPE.positions, SHAPE.levels)
        assert len(committed) == 2
        assert all(np.array_equal(codes, flat) for inputs in committed for codes in inputs["codes"])
        assert (chunk.motion[:, 1] == chosen).all(), "the decoder's second column says whose motion it is"
    states = [inputs["state_0"] for name, inputs in network.calls if name == "decoder"][1:]
    assert len(states) > 4
    assert all((state[:, 1] == chosen).all() for state in states)


def test_a_measured_offset_makes_the_beat_come_earlier() -> None:
    rows = {}
    for offset_s in (0.0, 0.05):
        network = ToyNetwork()
        dancer = make_dancer(network, DancerSettings(LEAD, LOOK_AHEAD, offset_s))
        for index in range(40):
            values = np.zeros(NUM_FEATURES, np.float32)
            write_clock(values, np.asarray(index / 30 * 2.0), np.asarray(120.0), np.asarray(1.0))
            frame = replace(feature_frame(index), values=values)
            if dancer.is_dancing:
                dancer.push(frame)
            else:
                dancer.listen(frame)
                dancer.start()
        rows[offset_s] = network.named("music")[-1]["rows"]
    before, bpm, _ = read_clock(rows[0.0])
    after, bpm_after, confidence = read_clock(rows[0.05])
    moved = (after - before + 0.5) % 1.0 - 0.5
    assert np.allclose(moved, 0.05 * 120 / 60, atol=1e-3)
    assert np.allclose(bpm, bpm_after, rtol=1e-5)
    assert np.allclose(confidence, 1.0)
