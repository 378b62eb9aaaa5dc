"""A dance written down call by call: what every step was given, what it gave, and the noise that was added.

The dance is the real one: built-in track, live features, ``Dancer`` and ``TokenWindow``. Played back, each backend is
given what the reference was given, so an error cannot grow from call to call and equal noise must draw equal codes.

Letters: C plans, N planned positions that are drawn, K codes, G halves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from soulstream_engine.audio.demo_track import DEMO_SECONDS, render_demo_track
from soulstream_engine.backends.base import initial_states
from soulstream_engine.bundle import Bundle
from soulstream_engine.clock import FPS, SAMPLES_PER_FRAME
from soulstream_engine.errors import ConfigError
from soulstream_engine.features.extractor import FeatureExtractor
from soulstream_engine.frames import F32
from soulstream_engine.runtime.network import dancer_settings, sampler_settings, window_shape
from soulstream_engine.sampling.dancer import DECODER_STEP, Dancer
from soulstream_engine.sampling.masked import Codes, SamplerSettings, guided
from soulstream_engine.sampling.schedule import TickNoise, draw, tick_noise
from soulstream_engine.sampling.window import FOR_ONE, STAGES, Arrays, RunStep, WindowShape

WARM_UP_FRAMES = 60
"""Frames that are heard before the dance begins, so that the beat clock knows something (ours)."""

_FILLED_IN_PLACE = ("codes", "level_seen")
"""Inputs that the sampler goes on writing to; the others are never changed, and several calls share them."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a step.

    Attributes:
        step: Its name.
        inputs: As given, by name.
        outputs: As the reference gave them, by name.
        noise: [C, N, K] Gumbel noise that was added to the scores of the last N positions; ``None`` where nothing was
            drawn.
    """

    step: str
    inputs: Arrays
    outputs: Arrays
    noise: F32 | None = None


@dataclass(frozen=True, slots=True)
class Tape:
    """All calls of a dance of ``ticks`` ticks in their order, and how its codes were drawn."""

    calls: list[Call]
    ticks: int
    settings: SamplerSettings

    def codes(self, call: Call, logits: F32) -> Codes:
        """Codes [C, N] that scores [G, C or 1, all positions, K] draw with the noise of a call.

        Raises:
            ValueError: If nothing was drawn in that call.
        """
        if call.noise is None:
            raise ValueError(f"nothing was drawn from this call of step '{call.step}'")
        settings = self.settings
        is_mask = call.step.removesuffix(FOR_ONE) == STAGES[0]
        scores = guided(logits, settings.guidance if is_mask else settings.residual_guidance)
        return draw(
            scores[:, -call.noise.shape[1] :],
            call.noise,
            keep=max(1, round(settings.keep_share * logits.shape[-1])),
            temperature=settings.temperature if is_mask else settings.residual_temperature,
        )


class _Recorder:
    """Writes down what passes between a dancer and its steps (``RunStep``); knows which draw each call is for."""

    def __init__(self, run_step: RunStep, shape: WindowShape, settings: SamplerSettings, seed: int) -> None:
        self.calls: list[Call] = []
        self._run = run_step
        self._shape = shape
        self._settings = settings
        self._seed = seed
        self._tick = -1
        self._round = 0
        self._noise: TickNoise | None = None

    def run(self, name: str, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        kept = {key: array.copy() if key in _FILLED_IN_PLACE else array for key, array in inputs.items()}
        outputs = self._run(name, kept)
        self.calls.append(Call(name, kept, outputs, self._noise_for(name, inputs)))
        return outputs

    def _noise_for(self, name: str, inputs: Mapping[str, NDArray[Any]]) -> F32 | None:
        shape, stage = self._shape, name.removesuffix(FOR_ONE)
        if stage == "music":
            self._tick, self._round = self._tick + 1, 0
            self._noise = tick_noise(
                self._seed,
                self._tick,
                iterations=self._settings.iterations,
                levels=shape.levels,
                candidates=shape.candidates,
                positions=shape.positions,
                num_codes=shape.num_codes,
            )
        if stage not in STAGES or self._noise is None or inputs["committing"][0]:
            return None
        if stage == STAGES[0]:
            first = self._round * shape.num_parts
            noise: F32 = self._noise.mask[self._round][:, first:]
            self._round += 1
        else:
            noise = self._noise.residual[int(inputs["level"][0])]
        return noise


def record_tape(bundle: Bundle, run_step: RunStep, ticks: int, seed: int = 0) -> Tape:
    """Dances to the beginning of the built-in track.

    Args:
        bundle: Says sizes and sampling.
        run_step: The network that is danced with.
        ticks: Length.
        seed: Of the draws.

    Returns:
        Every call of the dance.

    Raises:
        ConfigError: If the track is shorter than so many ticks.
        InvariantError: If the network gives scores that are not finite.
    """
    manifest = bundle.manifest
    shape, settings = window_shape(manifest), sampler_settings(manifest)
    recorder = _Recorder(run_step, shape, settings, seed)
    states = initial_states(manifest.step(DECODER_STEP))
    dancer = Dancer(shape, recorder.run, states, dancer_settings(manifest), settings, seed)
    most = (DEMO_SECONDS * FPS - WARM_UP_FRAMES) // dancer.commit_frames
    if not 1 <= ticks <= most:
        raise ConfigError(
            "TAPE_LENGTH", f"{ticks} ticks were asked for; the built-in track has {most}.", f"Ask for 1 to {most}."
        )
    frames = WARM_UP_FRAMES + ticks * dancer.commit_frames
    heard = FeatureExtractor().push(render_demo_track()[: frames * SAMPLES_PER_FRAME])
    for frame in heard[:WARM_UP_FRAMES]:
        dancer.listen(frame)
    dancer.start()
    danced = 0
    for frame in heard[WARM_UP_FRAMES:]:
        if dancer.push(frame) is not None:
            danced += 1
    return Tape(recorder.calls, danced, settings)
