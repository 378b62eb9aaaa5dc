"""Ticks of any shape, driven step by step: loads that the sampler of a bundle would not run by itself.

Real steps, real shapes, caches that move on, random draws and the choice of codes included; no music and no motion that
means anything. What is timed is a tick from the rows of music to the rows of motion.

Letters: see ``sampling.window``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from soulstream_engine.backends.base import Arrays, Backend
from soulstream_engine.bundle import Bundle
from soulstream_engine.clock import monotonic_ns
from soulstream_engine.runtime.network import Network, sampler_settings, window_shape
from soulstream_engine.sampling.dancer import DECODER_STEP
from soulstream_engine.sampling.masked import guided
from soulstream_engine.sampling.schedule import TickNoise, draw, tick_noise
from soulstream_engine.sampling.window import FOR_ONE, STAGES

_WARM_UP = 3


@dataclass(frozen=True, slots=True)
class Load:
    """What a tick does: ``iterations`` rounds of the mask stage, then ``residual_passes`` of the residual one."""

    iterations: int
    residual_passes: int


class StepDriver:
    """Runs ticks of a load.

    Args:
        bundle: Verified model.
        backend: What runs it.
        load: What a tick does.
        seed: Of everything random.
    """

    def __init__(self, bundle: Bundle, backend: Backend, load: Load, seed: int = 0) -> None:
        self._network = Network(bundle, backend)
        self._load = load
        self._seed = seed
        self._settings = sampler_settings(bundle.manifest)
        self._shape = shape = window_shape(bundle.manifest)
        self._keep = max(1, round(self._settings.keep_share * shape.num_codes))
        self._random = np.random.default_rng(seed)
        specs = {tensor.name: tensor for tensor in bundle.manifest.step("mask").inputs}
        caches = ("past_k", "past_v", "music_k", "music_v")
        self._caches: dict[str, Arrays] = {
            stage: {name: self._normal(*specs[name].shape) for name in caches} for stage in STAGES
        }
        self._states = self._network.decoder_states()
        self._rows_shape = bundle.manifest.step("music").inputs[0].shape

    def _normal(self, *shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return self._random.standard_normal(shape, dtype=np.float32)

    def tick(self, number: int) -> None:
        """Runs tick ``number``."""
        shape, load = self._shape, self._load
        rows = self._normal(*self._rows_shape)
        noise = tick_noise(
            self._seed,
            number,
            iterations=load.iterations,
            levels=load.residual_passes + 1,
            candidates=shape.candidates,
            positions=shape.positions,
            num_codes=shape.num_codes,
        )
        heard = self._network.run("music", {"rows": rows})
        shared = {stage: self._heard(stage, heard) for stage in STAGES}
        codes = self._draw(shared, noise)
        for stage in STAGES:
            out = self._scores(stage, shared, codes[:1], np.ones_like(codes[:1], np.float32), 0, committing=1.0)
            self._remember(stage, out)
        plans = codes.reshape(shape.candidates, shape.planned, shape.num_parts, shape.levels).transpose(0, 2, 1, 3)
        given = {"codes": np.ascontiguousarray(plans), "kept": np.array([shape.commit], np.int64)}
        decoded = self._network.run(DECODER_STEP, self._states | given)
        self._states = {name: decoded[f"next_{name}"] for name in self._states}

    def _draw(self, shared: dict[str, Arrays], noise: TickNoise) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        """Codes [C, N, Q] of a tick."""
        shape, load, settings = self._shape, self._load, self._settings
        codes = np.zeros((shape.candidates, shape.positions, shape.levels), np.int64)
        seen = np.zeros(codes.shape, np.float32)
        for number in range(load.iterations):
            logits = guided(self._scores("mask", shared, codes, seen, 0)["logits"], settings.guidance)
            codes[..., 0] = draw(logits, noise.mask[number], keep=self._keep, temperature=settings.temperature)
            seen[:, : shape.positions * (number + 1) // load.iterations, 0] = 1.0
        for number in range(load.residual_passes):
            logits = guided(self._scores("residual", shared, codes, seen, number)["logits"], settings.residual_guidance)
            drawn = draw(logits, noise.residual[number], keep=self._keep, temperature=settings.residual_temperature)
            codes[..., number + 1] = drawn
            seen[..., number + 1] = 1.0
        return codes

    def _heard(self, stage: str, music: Arrays) -> Arrays:
        """Inputs that all passes of a stage share; the music memory moves on."""
        shape, cache = self._shape, self._caches[stage]
        for end in ("k", "v"):
            fresh = music[f"{stage}_{end}"][..., shape.commit :, :]
            joined = np.concatenate([cache[f"music_{end}"][..., : shape.banked, :], fresh], axis=-2)
            cache[f"music_{end}"] = joined
        aligned = music[f"{stage}_tokens"][:, -shape.planned :]
        valid = {
            "past_valid": np.ones(shape.context, np.float32),
            "music_valid": np.ones(shape.banked + shape.fresh, np.float32),
        }
        return cache | valid | {"aligned": aligned}

    def _scores(
        self,
        stage: str,
        shared: dict[str, Arrays],
        codes: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
        seen: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
        level: int,
        committing: float = 0.0,
    ) -> Arrays:
        inputs = shared[stage] | {
            "codes": codes,
            "level_seen": seen,
            "level": np.array([level], np.int64),
            "committing": np.array([committing], np.float32),
        }
        return self._network.run(stage + FOR_ONE if len(codes) == 1 else stage, inputs)

    def _remember(self, stage: str, out: Arrays) -> None:
        """Committed positions enter the cache, the oldest leave."""
        count = self._shape.commit * self._shape.num_parts
        for end in ("k", "v"):
            past = self._caches[stage][f"past_{end}"]
            new = out[f"new_{end}"][..., :count, :]
            self._caches[stage][f"past_{end}"] = np.concatenate([past[..., count:, :], new], axis=-2)


def measure_load(
    bundle: Bundle,
    backend: Backend,
    load: Load,
    *,
    num_ticks: int,
    limit_s: float | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> list[float]:
    """Milliseconds of ``num_ticks`` ticks of a load, fewer (at least 3) when ``limit_s`` seconds are over."""
    driver = StepDriver(bundle, backend, load)
    times_ms: list[float] = []
    for number in range(_WARM_UP + num_ticks):
        begin_ns = monotonic_ns()
        driver.tick(number)
        if number >= _WARM_UP:
            times_ms.append((monotonic_ns() - begin_ns) / 1e6)
        progress(len(times_ms) / num_ticks)
        if limit_s is not None and len(times_ms) >= _WARM_UP and sum(times_ms) > limit_s * 1000.0:
            break
    return times_ms
