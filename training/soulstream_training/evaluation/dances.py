"""Dances of a bundle for the scores: a renderer, and the controls that dance by random codes."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.audio.decode import load_audio
from soulstream_engine.bundle import Bundle, load_bundle
from soulstream_engine.clock import SAMPLE_RATE
from soulstream_engine.runtime.dance import DanceStream
from soulstream_engine.runtime.network import window_shape
from soulstream_engine.runtime.render import render_song
from soulstream_engine.sampling.dancer import PlanSource

from .beats import Render


class Control(StrEnum):
    """What dances in place of the sampler: nothing, random codes, or the best of random plans."""

    NONE = "none"
    CODES = "codes"
    PLANS = "plans"


def random_plans(bundle: Bundle, seed: int, control: Control) -> PlanSource | None:
    """Uniformly random codes in place of the sampler's.

    With ``CODES`` all plans of a tick are one: what is committed is random, and nothing can listen. With ``PLANS`` they
    differ, and foresight chooses among them: what the choice alone can do.
    """
    if control is Control.NONE:
        return None
    shape = window_shape(bundle.manifest)
    drawn = shape.candidates if control is Control.PLANS else 1

    def source(tick: int, rows: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.int64]:
        generator = np.random.Generator(np.random.Philox(key=[seed, tick]))
        plans = generator.integers(shape.num_codes, size=(drawn, shape.num_parts, shape.planned, shape.levels))
        return np.broadcast_to(plans, (shape.candidates, *plans.shape[1:]))

    return source


def bundle_renderer(path: Path | None, *, control: Control = Control.NONE, seconds: float = 0.0) -> Render:
    """A function from a sound file and a seed to the joints [T, 52, 3] of the dance.

    Args:
        path: Bundle folder; ``None`` is the embedded one.
        control: What dances in place of the sampler.
        seconds: Dance to the beginning of the sound only; 0 is all of it.
    """
    bundle = load_bundle(path)

    def render(sound: Path, seed: int) -> NDArray[np.float32]:
        stream = DanceStream(bundle, seed, plan_source=random_plans(bundle, seed, control))
        samples = load_audio(sound)
        if seconds > 0.0:
            samples = samples[: round(seconds * SAMPLE_RATE)]
        return render_song(samples, bundle, seed, stream=stream).joints_m

    return render
