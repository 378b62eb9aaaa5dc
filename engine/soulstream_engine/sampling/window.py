"""The stream of tokens: what was committed, what the network remembers of it, and one tick of the sampler.

Each tick (1) turns fresh music into keys and values and draws several plans (``plan``), (2) commits the first tokens of
one of them for ever (``commit``): their keys and values enter the cache once, with the music known at this moment. Both
are pure functions of the state and their inputs; the network is a callable, so any backend or a test may stand behind
it.

Letters: C plans, P parts, Q levels, K codes, N planned positions (planned tokens x P), F features. Caches carry a
leading G: 2 with an unconditional half for the guidance, else 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.errors import InvariantError

from .masked import Codes, SamplerSettings, plan_tokens
from .schedule import F32, tick_noise

Arrays = dict[str, NDArray[Any]]
RunStep = Callable[[str, Mapping[str, NDArray[Any]]], Arrays]
"""(step name, inputs) -> outputs; names and shapes as in the bundle's manifest."""

STAGES = ("mask", "residual")
"""The two networks of the sampler; each has its own cache."""

FOR_ONE = "_one"
"""Ending of a stage's step that scores a single plan: for what all plans share, and for committing."""


@dataclass(frozen=True, slots=True)
class WindowShape:
    """Sizes of a tick, in tokens where not said otherwise: see ``training`` ``models.window.Geometry``.

    ``candidates`` plans are drawn side by side; ``halves`` is 2 where the network also scores without music;
    ``music_tokens`` is how many the music step reads, ``commit`` + ``fresh`` or more.
    """

    candidates: int
    halves: int
    num_parts: int
    levels: int
    num_codes: int
    context: int
    planned: int
    commit: int
    fresh_past: int
    layers: int
    heads: int
    head_width: int
    music_tokens: int = 0

    @property
    def positions(self) -> int:
        """N: planned positions."""
        return self.planned * self.num_parts

    @property
    def fresh(self) -> int:
        """Music tokens computed anew each tick."""
        return self.fresh_past + self.planned

    @property
    def banked(self) -> int:
        """Music tokens read from the cache."""
        return self.context - self.fresh_past


@dataclass(slots=True)
class _Cache:
    """Keys and values of one stage; newest last."""

    past_k: F32
    past_v: F32
    music_k: F32
    music_v: F32


def _append(cache: F32, new: F32) -> F32:
    """Drop the oldest positions, add the new ones at the end: axis -2 is time."""
    return np.concatenate([cache[..., new.shape[-2] :, :], new], axis=-2)


class TokenWindow:
    """Committed context and music memory of one dancer.

    Args:
        shape: Sizes.
        run_step: The network.
        seed: Seed of every draw.
        settings: How to draw.
    """

    def __init__(self, shape: WindowShape, run_step: RunStep, seed: int, settings: SamplerSettings) -> None:
        self.shape = shape
        self.settings = settings
        self.seed = seed
        self._run = run_step
        self.reset()

    def reset(self) -> None:
        """Forget the context and the music memory: a new epoch."""
        shape = self.shape
        lead = (shape.halves, shape.layers, shape.heads)
        past = (*lead, shape.context * shape.num_parts, shape.head_width)
        music = (*lead, shape.banked, shape.head_width)
        self._caches = {
            stage: _Cache(*(np.zeros(size, np.float32) for size in (past, past, music, music))) for stage in STAGES
        }
        self._past_valid = np.zeros(shape.context, np.float32)
        self._bank_valid = np.zeros(shape.banked, np.float32)
        self._shared: dict[str, Arrays] = {}

    def plan(self, number: int, rows: F32, rows_valid: NDArray[np.bool_]) -> Codes:
        """Hear the tick's music and draw the plans; ``commit`` must follow.

        Args:
            number: Counts the ticks of the whole run; keys the random draws.
            rows: [commit + fresh, 4, F] feature rows: the tokens that leave the fresh part, then the fresh part.
            rows_valid: [commit + fresh] whether all four rows of a token exist (before the start of a stream they do
            not).

        Returns:
            [C, P, planned, Q] int64.

        Raises:
            InvariantError: If the network gives scores that are not finite; the window must then be reset, because its
                memory may hold them too.
        """
        shape = self.shape
        valid = rows_valid.astype(np.float32)
        music = self._hear(rows)
        self._bank_valid = np.concatenate([self._bank_valid[shape.commit :], valid[: shape.commit]])
        shared: dict[str, Arrays] = {}
        for stage in STAGES:
            cache = self._caches[stage]
            keys, values = music[f"{stage}_k"], music[f"{stage}_v"]
            cache.music_k = _append(cache.music_k, keys[..., : shape.commit, :])
            cache.music_v = _append(cache.music_v, values[..., : shape.commit, :])
            shared[stage] = {
                "past_k": cache.past_k,
                "past_v": cache.past_v,
                "past_valid": self._past_valid,
                "music_k": np.concatenate([cache.music_k, keys[..., shape.commit :, :]], axis=-2),
                "music_v": np.concatenate([cache.music_v, values[..., shape.commit :, :]], axis=-2),
                "music_valid": np.concatenate([self._bank_valid, valid[shape.commit :]]),
                "aligned": music[f"{stage}_tokens"][:, -shape.planned :],
            }
            for array in shared[stage].values():
                array.flags.writeable = False  # the same all tick long: a backend need not copy it to a device again
        self._shared = shared
        codes = self._draw(number).reshape(shape.candidates, shape.planned, shape.num_parts, shape.levels)
        return codes.transpose(0, 2, 1, 3)

    def _hear(self, rows: F32) -> Arrays:
        """Music tokens, keys and values of the rows; a step that reads more gets the first ones again and again."""
        spare = max(0, self.shape.music_tokens - len(rows))
        fed = np.concatenate([rows[:1].repeat(spare, 0), rows]) if spare else rows
        music = self._run("music", {"rows": np.ascontiguousarray(fed, dtype=np.float32)})
        if spare:
            for stage in STAGES:
                music[f"{stage}_tokens"] = music[f"{stage}_tokens"][:, spare:]
                for kind in ("k", "v"):
                    music[f"{stage}_{kind}"] = music[f"{stage}_{kind}"][..., spare:, :]
        return music

    def _draw(self, number: int) -> Codes:
        shape = self.shape
        noise = tick_noise(
            self.seed,
            number,
            iterations=self.settings.iterations,
            levels=shape.levels,
            candidates=shape.candidates,
            positions=shape.positions,
            num_codes=shape.num_codes,
        )
        return plan_tokens(
            (shape.candidates, shape.positions, shape.levels),
            shape.num_parts,
            shape.num_codes,
            noise,
            self.settings,
            lambda codes, seen: self._scores("mask", codes, seen, 0)["logits"],
            lambda codes, seen, level: self._scores("residual", codes, seen, level - 1)["logits"],
        )

    def _scores(self, stage: str, codes: Codes, seen: F32, level: int, committing: float = 0.0) -> Arrays:
        inputs = dict(self._shared[stage])
        inputs["codes"] = codes
        inputs["level_seen"] = seen
        inputs["level"] = np.array([level], np.int64)
        inputs["committing"] = np.array([committing], np.float32)
        out = self._run(stage + FOR_ONE if len(codes) == 1 else stage, inputs)
        if not np.isfinite(out["logits"]).all():
            raise InvariantError("SCORES_NOT_FINITE", f"Step {stage!r} gave scores that are not finite.")
        return out

    def commit(self, plan: Codes) -> None:
        """Dance the first tokens of a plan [P, planned, Q]: both networks read it as committed, and remember.

        Raises:
            InvariantError: As ``plan``.
        """
        shape = self.shape
        count = shape.commit * shape.num_parts
        codes = plan.transpose(1, 0, 2).reshape(1, shape.positions, shape.levels)
        seen = np.ones(codes.shape, np.float32)
        for stage in STAGES:
            out = self._scores(stage, codes, seen, 0, committing=1.0)
            cache = self._caches[stage]
            cache.past_k = _append(cache.past_k, out["new_k"][..., :count, :])
            cache.past_v = _append(cache.past_v, out["new_v"][..., :count, :])
        self._past_valid = np.concatenate([self._past_valid[shape.commit :], np.ones(shape.commit, np.float32)])
