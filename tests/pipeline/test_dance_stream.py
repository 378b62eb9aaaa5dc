"""The stream of frames: which come, in which order, and where they say they come from. Random networks, real code."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

import numpy as np
import pytest
from fakes.toy_bundle import beat_track, silence, toy
from numpy.typing import NDArray

from soulstream_engine.bundle import Bundle, load_bundle
from soulstream_engine.clock import FPS, SAMPLES_PER_FRAME
from soulstream_engine.errors import BundleError, ConfigError
from soulstream_engine.frames import PoseFrame, Provenance
from soulstream_engine.motion.skeleton import forward_kinematics
from soulstream_engine.runtime.dance import DanceStream
from soulstream_engine.sampling.masked import SamplerSettings

LEAD = 8 - 2
"""Frames that are always given out ahead of the sound: lead minus look-ahead."""


def dance(stream: DanceStream, samples: NDArray[np.float32], block: int = SAMPLES_PER_FRAME) -> list[PoseFrame]:
    """All frames; after each block, those due by then must have been given out, in order and without gaps."""
    frames: list[PoseFrame] = []
    for start in range(0, len(samples), block):
        frames += stream.push(samples[start : start + block])
        heard = min(start + block, len(samples)) // SAMPLES_PER_FRAME
        assert len(frames) >= heard + (LEAD if heard else 0)
    assert [frame.index for frame in frames] == list(range(len(frames)))
    return frames


def assert_sound(frames: list[PoseFrame]) -> None:
    """Finite, unit rotations, no joint that jumps."""
    root = np.stack([frame.root_m for frame in frames])
    joint = np.stack([frame.joint_wxyz for frame in frames])
    assert np.isfinite(root).all()
    assert np.abs(np.linalg.norm(joint, axis=-1) - 1.0).max() < 1e-4
    speed = np.linalg.norm(np.diff(forward_kinematics(root, joint), axis=0), axis=-1) * FPS
    assert speed.max() < 20.0


class Damaged:
    """A step that returns NaN in some of its runs."""

    def __init__(self, step: Any, is_bad: Any) -> None:
        self.step, self.is_bad, self.runs = step, is_bad, 0

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        self.runs += 1
        out: dict[str, NDArray[Any]] = self.step.run(inputs)
        return {key: value * np.nan for key, value in out.items()} if self.is_bad(self.runs) else out


def test_silence_music_silence(toy_bundle: Bundle) -> None:
    stream = DanceStream(toy_bundle, 0)
    frames = dance(stream, np.concatenate([silence(1), beat_track(4), silence(3)]))
    order = [kind for kind, _ in groupby(frame.provenance for frame in frames)]
    kinds = Provenance
    assert order == [kinds.IDLE, kinds.BLENDED, kinds.GENERATED, kinds.BLENDED, kinds.IDLE]
    first_generated = next(frame.index for frame in frames if frame.provenance is kinds.BLENDED)
    assert FPS < first_generated < 1.5 * FPS
    assert frames[-1].provenance is kinds.IDLE
    assert_sound(frames)
    assert stream.bad_chunks == 0


def test_silence_alone_gives_the_idle_dancer(toy_bundle: Bundle) -> None:
    frames = dance(DanceStream(toy_bundle, 0), silence(2))
    assert {frame.provenance for frame in frames} == {Provenance.IDLE}
    assert len(frames) == 2 * FPS + LEAD
    assert_sound(frames)


@pytest.mark.parametrize("first_break", [14, 18, 22])
def test_short_breaks_in_the_music(toy_bundle: Bundle, first_break: int) -> None:
    """Half a second without sound ends an epoch; music may come back before the frames given out are used up."""
    pieces = [beat_track(1.2)]
    for break_frames in range(first_break, first_break + 4):
        pieces += [silence(break_frames / FPS), beat_track(1.2, seed=break_frames)]
    assert_sound(dance(DanceStream(toy_bundle, 0), np.concatenate(pieces)))


@pytest.mark.parametrize("name", ["decoder", "mask", "residual", "music"])
def test_a_step_that_fails_for_ever_leaves_an_idle_dancer(toy_bundle: Bundle, name: str) -> None:
    stream = DanceStream(toy_bundle, 0)
    stream.network._steps[name] = Damaged(stream.network._steps[name], lambda run: True)  # type: ignore[assignment]
    frames = dance(stream, beat_track(3))
    assert_sound(frames)
    assert stream.bad_chunks > 0
    assert not any(frame.provenance is Provenance.GENERATED for frame in frames)


@pytest.mark.parametrize("name", ["decoder", "mask", "residual", "music"])
@pytest.mark.parametrize("bad_run", [1, 2, 5])
def test_one_bad_tick_costs_a_moment_and_is_counted(toy_bundle: Bundle, name: str, bad_run: int) -> None:
    stream = DanceStream(toy_bundle, 0)
    step = Damaged(stream.network._steps[name], lambda run: run == bad_run)
    stream.network._steps[name] = step  # type: ignore[assignment]
    frames = dance(stream, beat_track(5))
    assert stream.bad_chunks == 1
    assert_sound(frames)
    assert frames[-1].provenance is Provenance.GENERATED
    idle = [frame.index for frame in frames if frame.provenance is Provenance.IDLE]
    assert max(idle, default=0) < 3 * FPS


def test_dancing_begins_where_she_stands(toy_bundle: Bundle) -> None:
    frames = dance(DanceStream(toy_bundle, 0), np.concatenate([silence(0.5), beat_track(3), silence(2), beat_track(2)]))
    root = np.stack([frame.root_m for frame in frames])
    assert np.linalg.norm(np.diff(root, axis=0), axis=1).max() < 0.15


def test_features_of_the_newest_frame_are_there_to_be_shown(toy_bundle: Bundle) -> None:
    stream = DanceStream(toy_bundle, 0)
    assert stream.latest_feature is None
    dance(stream, beat_track(1))
    assert stream.latest_feature is not None
    assert stream.latest_feature.index == FPS - 1
    assert len(stream.tick_ms) == 4


@pytest.fixture(scope="module")
def shipped_kind(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """As the embedded bundle is made: no scores without music, fewer levels drawn than the tokenizer has."""
    return load_bundle(toy(tmp_path_factory.getbasetemp(), 1, 2, 2, False).folder)


def test_a_bundle_of_the_kind_that_ships_dances(shipped_kind: Bundle) -> None:
    frames = dance(DanceStream(shipped_kind), beat_track(6.0))
    assert frames[-1].provenance is Provenance.GENERATED
    assert_sound(frames)


def test_guidance_without_its_scores_is_refused(shipped_kind: Bundle) -> None:
    with pytest.raises(BundleError, match=r"Guidance 2\.0 and 1\.0 need scores without music"):
        DanceStream(shipped_kind, sampler=SamplerSettings(guidance=2.0))


def test_ticks_of_one_token_decide_later_and_dance_on_without_gaps(toy_bundle: Bundle) -> None:
    """Half as much is given out at a time, so what is new is shown sooner."""
    music = beat_track(4)
    chunks = {}
    for tokens in (1, 2):
        stream = DanceStream(toy_bundle, 0, commit_tokens=tokens)
        stream.keep_chunks()
        frames = dance(stream, music)
        assert_sound(frames)
        assert sum(frame.provenance is Provenance.GENERATED for frame in frames) > 90
        chunks[tokens] = [len(chunk.motion) for chunk in stream.chunks or []]
    assert set(chunks[1][1:]) == {4}
    assert set(chunks[2][1:]) == {8}
    assert len(chunks[1]) >= 2 * len(chunks[2]) - 1


@pytest.mark.parametrize("tokens", [0, 3])
def test_a_tick_that_the_bundle_does_not_have_is_refused(toy_bundle: Bundle, tokens: int) -> None:
    with pytest.raises(ConfigError, match=rf"tick of {tokens} tokens is not possible.*up to 2"):
        DanceStream(toy_bundle, 0, commit_tokens=tokens)
