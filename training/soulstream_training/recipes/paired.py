"""Windows of dance with music for the sampler: codes, and what each tick hears.

Music up to a tick's present is real; the rest is that tick's own extrapolation, made by the code that runs live.

Letters: B batch, L tokens of a window, P parts, Q levels, F features, R ticks of a window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from soulstream_engine.errors import ConfigError
from soulstream_engine.features.extrapolate import extrapolate
from soulstream_training.models.hrvq import FRAMES_PER_TOKEN, Hrvq
from soulstream_training.models.window import Geometry

F32 = NDArray[np.float32]

LEAD_TOKENS = (1, 2, 3)
"""Tokens between the last heard frame and the first planned one; drawn per window, for several leads."""
LEAD_SHARES = (0.15, 0.7, 0.15)


@dataclass(frozen=True)
class Take:
    """One stretch of motion with the music it dances to, or none.

    ``rows`` [T, D] motion features; ``music`` [T', F] feature rows of the same frames (T' >= T) or ``None``; ``weight``
    multiplies the chance of its windows; ``lock`` [T'] 0..1 tells how well the motion around a frame meets the beats:
    windows that meet them are shown more often; ``trust`` [T'] 1 where the motion is an example to follow, 0 where it
    is shown but not to be learned, or ``None`` for all of it.
    """

    rows: F32
    music: F32 | None
    weight: float
    lock: F32 | None = None
    trust: F32 | None = None


@dataclass(frozen=True)
class Batch:
    """A batch of windows.

    ``codes`` [B, L, P, Q]; ``trust`` [B, L] 1 for tokens to learn, else 0; ``bank_rows`` [B, M, 4, F] heard music
    tokens with ``bank_valid`` [B, M]; ``fresh_rows`` [B, R, fresh, 4, F] each tick's own view; ``keep`` [B] 0 where the
    music is hidden altogether.
    """

    codes: Tensor
    trust: Tensor
    bank_rows: Tensor
    bank_valid: Tensor
    fresh_rows: Tensor
    keep: Tensor


class PairedSampler:
    """Draws windows.

    Args:
        takes: Material; stretches shorter than a window are left out.
        tokenizer: Turns motion into codes, at all four token phases.
        geometry: Sizes of a tick.
        clean: Clean tokens of a window, a multiple of ``geometry.commit``.
        hide_music: Chance that a window is shown without music (condition dropout).
        levels: Q; levels of the tokenizer that are used, ``None`` for all.
    """

    def __init__(
        self,
        takes: list[Take],
        tokenizer: Hrvq,
        geometry: Geometry,
        clean: int = 32,
        hide_music: float = 0.1,
        levels: int | None = None,
    ) -> None:
        self.geometry = geometry
        self.clean = clean
        self.length = clean + geometry.planned
        self.hide_music = hide_music
        self.first_row = (geometry.fresh_past + 1) * FRAMES_PER_TOKEN
        need = self.first_row + (self.length + 1) * FRAMES_PER_TOKEN
        usable = [take for take in takes if take.rows.shape[0] >= need]
        if not usable:
            raise ConfigError(
                "TAKES_EMPTY", f"No take has {need} rows.", "Prepare longer clips or use fewer clean tokens."
            )
        levels = levels or tokenizer.config.levels
        self.codebooks = tokenizer.quantizer.tables[:, :levels].clone()
        self.codes = [[codes[..., :levels] for codes in self._all_phases(take.rows, tokenizer)] for take in usable]
        self.takes = usable
        chances = [self._chances(take, take.rows.shape[0] - need + 1) for take in usable]
        self.cumulative = np.cumsum(np.concatenate(chances))
        self.first_start = np.cumsum([0, *(len(chance) for chance in chances)])
        music = [take.music for take in usable if take.music is not None]
        if not music:
            raise ConfigError("MUSIC_EMPTY", "No take has music.", "Run soulstream-train data music first.")
        self.features = np.concatenate(music)
        lengths = [0 if take.music is None else take.music.shape[0] for take in usable]
        self.feature_offset = np.cumsum([0, *lengths])

    def _chances(self, take: Take, num_starts: int) -> NDArray[np.float64]:
        """Relative chance of every window of a take: its weight, more where motion and beats meet."""
        if take.lock is None:
            return np.full(num_starts, take.weight)
        frames = self.length * FRAMES_PER_TOKEN
        total = np.concatenate([[0.0], np.cumsum(take.lock, dtype=np.float64)])
        first = self.first_row + np.arange(num_starts)
        mean = (total[np.minimum(first + frames, len(total) - 1)] - total[first]) / frames
        return take.weight * (0.1 + mean**2)

    @staticmethod
    def _all_phases(rows: F32, tokenizer: Hrvq) -> list[Tensor]:
        """Codes [N, P, Q] of a stretch for each of the four frames at which tokens may begin."""
        usable = (rows.shape[0] - FRAMES_PER_TOKEN + 1) // FRAMES_PER_TOKEN * FRAMES_PER_TOKEN
        phases = np.stack([rows[phase : phase + usable] for phase in range(FRAMES_PER_TOKEN)])
        return list(tokenizer.tokenize(torch.from_numpy(phases)).transpose(1, 2).contiguous())

    def feature_statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation [F] of all music rows (deviation at least 0.1)."""
        mean, deviation = self.features.mean(0), np.maximum(self.features.std(0), 0.1)
        return torch.from_numpy(mean), torch.from_numpy(deviation.astype(np.float32))

    def draw(self, batch: int, generator: torch.Generator) -> Batch:
        """A batch of windows; all randomness from ``generator``."""
        uniform = torch.rand(batch, 6, generator=generator, dtype=torch.double).numpy()
        window = np.searchsorted(self.cumulative, uniform[:, 0] * self.cumulative[-1])
        window = np.minimum(window, len(self.cumulative) - 1)
        picks = np.searchsorted(self.first_start, window, side="right") - 1
        starts = self.first_row + window - self.first_start[picks]
        has_music = np.array([self.takes[take].music is not None for take in picks])
        clip = np.where(has_music, self.feature_offset[picks], 0)
        first = np.where(has_music, clip + starts, self.first_row)
        codes = [self._window_codes(take, start) for take, start in zip(picks, starts, strict=True)]
        trust = [self._window_trust(take, start) for take, start in zip(picks, starts, strict=True)]
        leads = np.array(LEAD_TOKENS)[np.searchsorted(np.cumsum(LEAD_SHARES)[:-1], uniform[:, 3])]
        bank_rows, bank_valid = self._bank(first, clip, remembers=uniform[:, 4] > 0.3)
        keep = has_music & (uniform[:, 5] >= self.hide_music)
        return Batch(
            torch.stack(codes),
            torch.from_numpy(np.stack(trust)),
            torch.from_numpy(bank_rows),
            torch.from_numpy(bank_valid),
            torch.from_numpy(self._fresh(first, leads)),
            torch.from_numpy(keep.astype(np.float32)),
        )

    def _window_codes(self, take: int, start: int) -> Tensor:
        """Codes [L, P, Q] of the window that begins at a row of a take."""
        token = start // FRAMES_PER_TOKEN
        return self.codes[take][start % FRAMES_PER_TOKEN][token : token + self.length]

    def _window_trust(self, take: int, start: int) -> F32:
        """Trust [L] of the same window: a token is to be learned if all of its frames are."""
        trust = self.takes[take].trust
        if trust is None:
            return np.ones(self.length, np.float32)
        return trust[start : start + self.length * FRAMES_PER_TOKEN].reshape(-1, FRAMES_PER_TOKEN).min(axis=1)

    def bank_times(self) -> Tensor:
        """Token times of the bank, relative to the window: from ``-context`` to the last that any tick reads."""
        return torch.arange(-self.geometry.context, self.clean - self.geometry.fresh_past)

    def tick_starts(self) -> Tensor:
        """First token of every tick of a window: 0, commit, ..., clean."""
        return torch.arange(0, self.clean + 1, self.geometry.commit)

    def _bank(self, first: NDArray[np.int64], clip: NDArray[np.int64], remembers: NDArray[np.bool_]) -> tuple[F32, F32]:
        """Heard tokens; invalid before the clip begins, or (as after a restart) before the window begins."""
        times = self.bank_times().numpy()
        index = first[:, None] + times[None] * FRAMES_PER_TOKEN
        valid = (index >= clip[:, None]) & (
            remembers[:, None] | (times[None] >= -self.geometry.fresh_past - self.geometry.commit)
        )
        rows = np.maximum(index[..., None] + np.arange(FRAMES_PER_TOKEN), 0)
        return self.features[rows], valid.astype(np.float32)

    def _fresh(self, first: NDArray[np.int64], leads: NDArray[np.int64]) -> F32:
        """What each tick sees around its start: rows heard by then, the rest run forward from the last heard row."""
        geometry = self.geometry
        starts = first[:, None] + self.tick_starts().numpy()[None] * FRAMES_PER_TOKEN
        last_heard = starts - leads[:, None] * FRAMES_PER_TOKEN - 1
        steps = (max(LEAD_TOKENS) + geometry.planned) * FRAMES_PER_TOKEN
        future = extrapolate(self.features[last_heard], steps)
        offsets = np.arange(-geometry.fresh_past * FRAMES_PER_TOKEN, geometry.planned * FRAMES_PER_TOKEN)
        wanted = starts[..., None] + offsets
        ahead = wanted - last_heard[..., None] - 1
        heard = self.features[np.minimum(wanted, self.features.shape[0] - 1)]
        guessed = np.take_along_axis(future, np.maximum(ahead, 0)[..., None], axis=2)
        rows = np.where((ahead < 0)[..., None], heard, guessed)
        batch, ticks = starts.shape
        return rows.reshape(batch, ticks, geometry.fresh, FRAMES_PER_TOKEN, -1).astype(np.float32)
