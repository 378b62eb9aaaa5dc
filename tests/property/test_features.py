"""Rows do not depend on how the audio was cut, and no input makes them non-finite."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from soulstream_engine.features.extractor import FeatureExtractor, extract

_RNG = np.random.default_rng(7)
_AUDIO = (_RNG.standard_normal(30_000) * np.exp(-((np.arange(30_000) % 9000) / 1500))).astype(np.float32)
_WHOLE = extract(_AUDIO)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 30_000), max_size=12))
def test_any_cut_gives_identical_bytes(cuts: list[int]) -> None:
    extractor = FeatureExtractor()
    frames = [f for piece in np.split(_AUDIO, sorted(cuts)) for f in extractor.push(piece)]
    assert [f.index for f in frames] == list(range(len(_WHOLE)))
    assert np.stack([f.values for f in frames]).tobytes() == _WHOLE.tobytes()


@settings(max_examples=30, deadline=None)
@given(hnp.arrays(np.float32, st.integers(0, 5000), elements=st.floats(width=32, allow_nan=True, allow_infinity=True)))
def test_any_floats_give_finite_rows(samples: np.ndarray) -> None:
    frames = FeatureExtractor().push(samples)
    assert len(frames) == len(samples) // 1600
    assert all(np.isfinite(f.values).all() and 0.0 <= f.confidence <= 1.0 for f in frames)
