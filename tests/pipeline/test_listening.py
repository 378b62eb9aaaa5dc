"""The dancer listens: what she does depends on the music so far and the seed, and on nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes.toy_bundle import beat_track, silence
from numpy.typing import NDArray

from soulstream_engine.bundle import Bundle, load_bundle
from soulstream_engine.clock import FPS, SAMPLES_PER_FRAME
from soulstream_engine.frames import Provenance
from soulstream_engine.runtime.dance import DanceStream
from soulstream_engine.runtime.render import Take, render_song

EMBEDDED = Path(__file__).resolve().parents[2] / "engine" / "soulstream_engine" / "bundles" / "default"


@pytest.fixture(
    scope="module",
    params=["toy", pytest.param("embedded", marks=pytest.mark.slow)],
)
def bundle(request: pytest.FixtureRequest) -> Bundle:
    """The toy, and the model that ships where it is there."""
    if request.param == "toy":
        found: Bundle = request.getfixturevalue("toy_bundle")
        return found
    if not EMBEDDED.is_dir():
        pytest.skip("the embedded bundle is not in this checkout")
    return load_bundle(EMBEDDED)


@pytest.fixture
def until_s(bundle: Bundle) -> float:
    """When the music changes: after 20 s for the real model, sooner for the toy."""
    return 5.0 if bundle.manifest.model_id == "toy" else 20.0


def codes_of(stream: DanceStream) -> NDArray[np.int32]:
    assert stream.chunks is not None
    return np.concatenate([chunk.codes for chunk in stream.chunks], axis=2)


def listen(bundle: Bundle, samples: NDArray[np.float32], seed: int = 0, block: int = 48000) -> DanceStream:
    stream = DanceStream(bundle, seed)
    stream.keep_chunks()
    for start in range(0, len(samples), block):
        stream.push(samples[start : start + block])
    return stream


def differ(first: Take, second: Take) -> NDArray[np.bool_]:
    """Frames in which the two bodies differ."""
    frames = min(len(first.joints_m), len(second.joints_m))
    return np.any(first.joints_m[:frames] != second.joints_m[:frames], axis=(1, 2))


def test_other_music_changes_the_dance_from_then_on(bundle: Bundle, until_s: float) -> None:
    start = beat_track(until_s, 120)
    one = np.concatenate([start, beat_track(2.5, 120, seed=1)])
    other = np.concatenate([start, beat_track(2.5, 87, seed=2)])
    changed = differ(render_song(one, bundle, 4), render_song(other, bundle, 4))
    first = int(until_s * FPS)
    assert not changed[:first].any()
    assert changed[first : first + 2 * FPS].any()
    assert changed[first + 2 * FPS :].mean() > 0.9


def test_equal_seeds_repeat_and_other_seeds_differ(bundle: Bundle) -> None:
    song = beat_track(4)
    first, again, other = (render_song(song, bundle, seed) for seed in (1, 1, 2))
    assert not differ(first, again).any()
    assert differ(first, other)[2 * FPS :].mean() > 0.9


def test_block_sizes_do_not_matter(bundle: Bundle) -> None:
    song = beat_track(3.0)
    expected = codes_of(listen(bundle, song, block=48000))
    assert expected.shape[2] > 10
    for block in (160, 1600, 12345):
        assert np.array_equal(codes_of(listen(bundle, song, block=block)), expected)


def test_loudness_of_the_recording_does_not_matter_much(bundle: Bundle) -> None:
    """Half the volume is the same music; a few draws may fall the other way."""
    song = beat_track(4.0)
    loud, quiet = (codes_of(listen(bundle, song * gain)) for gain in (1.0, 0.5))
    tokens = min(loud.shape[2], quiet.shape[2])
    assert (loud[..., :tokens] == quiet[..., :tokens]).mean() > 0.9


def test_silence_is_danced_by_nobody(bundle: Bundle) -> None:
    take = render_song(silence(2), bundle, 0)
    assert take.provenance == (Provenance.IDLE,) * (2 * FPS)


def test_a_song_gets_a_frame_for_every_thirtieth_of_a_second(bundle: Bundle) -> None:
    for samples in (1, SAMPLES_PER_FRAME, SAMPLES_PER_FRAME + 1, 70_001):
        take = render_song(beat_track(2)[:samples], bundle, 0)
        assert len(take.joints_m) == -(-samples // SAMPLES_PER_FRAME) == len(take.provenance)
        assert np.isfinite(take.joints_m).all()
