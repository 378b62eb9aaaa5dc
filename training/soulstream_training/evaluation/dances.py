"""Dances of a bundle for the scores: a renderer, and the control that dances by random codes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.audio.decode import load_audio
from soulstream_engine.bundle import Bundle, load_bundle
from soulstream_engine.clock import SAMPLE_RATE
from soulstream_engine.runtime.dance import DanceStream
from soulstream_engine.runtime.network import window_shape
from soulstream_engine.runtime.render import render_song
from soulstream_engine.sampling.dancer import CodeSource
from soulstream_engine.sampling.masked import SamplerSettings

from .beats import Render


def random_code_source(bundle: Bundle, seed: int) -> CodeSource:
    """Uniformly random codes in place of the sampler's: a dance that cannot listen."""
    shape = window_shape(bundle.manifest)

    def source(tick: int, rows: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.int64]:
        generator = np.random.Generator(np.random.Philox(key=[seed, tick]))
        return generator.integers(shape.num_codes, size=(shape.num_parts, shape.levels, shape.commit))

    return source


def bundle_renderer(
    path: Path | None, *, random_codes: bool = False, seconds: float = 0.0, sampler: SamplerSettings | None = None
) -> Render:
    """A function from a sound file and a seed to the joints [T, 52, 3] of the dance.

    Args:
        path: Bundle folder; ``None`` is the embedded one.
        random_codes: Dance by random codes.
        seconds: Dance to the beginning of the sound only; 0 is all of it.
        sampler: Overrides the bundle's sampling.
    """
    bundle = load_bundle(path)

    def render(sound: Path, seed: int) -> NDArray[np.float32]:
        source = random_code_source(bundle, seed) if random_codes else None
        stream = DanceStream(bundle, seed, sampler=sampler, code_source=source)
        samples = load_audio(sound)
        if seconds > 0.0:
            samples = samples[: round(seconds * SAMPLE_RATE)]
        return render_song(samples, bundle, seed, stream=stream).joints_m

    return render
