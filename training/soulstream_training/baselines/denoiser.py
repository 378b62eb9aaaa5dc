"""Diffusion: rows sink into noise step by step, and a function that knows clean from noisy brings them back.

The function says what the clean rows are (x0 prediction); DDIM walks back along its answers. Not for: networks
(``diffusion``, ``partwise``), or anything live: a whole window of music must have been heard.

Letters: B batch, T rows of a window, K rows that are known, D motion columns, F music columns, S rows of a song.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from .common import F32, Danced, Normalised

NUM_STEPS = 1000
"""Steps into noise. Source: EDGE (Tseng et al. 2023)."""

SAMPLING_STEPS = 30
"""Steps back (ours; EDGE takes 50)."""

_OFFSET = 0.008
"""Keeps the first steps from being too small. Source: Nichol and Dhariwal 2021, 3.2."""

_MOST_LOST = 0.999
"""Largest share of what is left that one step takes. Source: Nichol and Dhariwal 2021, 3.2."""

Denoise = Callable[[Tensor, Tensor], Tensor]
"""Noisy rows [B, T, D] and their steps [B] -> what the clean rows are thought to be, [B, T, D]."""

MakeWindow = Callable[[Tensor, Tensor, torch.Generator], Tensor]
"""Music [1, T, F] and the first rows [1, K, D] -> rows [1, T, D] that begin with these; all normalised."""


def clean_shares(num_steps: int = NUM_STEPS) -> Tensor:
    """Share of the variance that is the dance's at each step, [num_steps + 1] float32 from 1 down to almost 0.

    Source: the cosine schedule, Nichol and Dhariwal 2021, equation 17.
    """
    time = torch.arange(num_steps + 1, dtype=torch.float64) / num_steps
    wave = torch.cos((time + _OFFSET) / (1 + _OFFSET) * math.pi / 2) ** 2
    kept = (wave[1:] / wave[:-1]).clamp(min=1 - _MOST_LOST)
    return torch.cat([torch.ones(1, dtype=torch.float64), kept.cumprod(0)]).float()


SHARES = clean_shares()
"""Those of the steps of all networks here."""


def add_noise(clean: Tensor, time: Tensor, noise: Tensor) -> Tensor:
    """Rows [B, T, D] as they are at steps ``time`` [B] int (0: clean), of standard normal ``noise`` [B, T, D].

    Source: DDPM (Ho et al. 2020), equation 4.
    """
    share = SHARES[time][:, None, None]
    return share.sqrt() * clean + (1 - share).sqrt() * noise


def ddim(denoise: Denoise, noise: Tensor, known: Tensor, num_steps: int = SAMPLING_STEPS) -> Tensor:
    """Walks from noise back to rows.

    Args:
        denoise: See ``Denoise``.
        noise: [B, T, D] standard normal: where the walk begins, and the noise in which known rows are shown.
        known: [B, K, D], the first rows of the window, kept as they are; K may be 0.
        num_steps: Calls of ``denoise``, 1 to ``NUM_STEPS``.

    Returns:
        [B, T, D]; the first K are ``known``, to the bit.

    Source: Song et al. 2021, equation 12 without fresh noise; known rows as in EDGE (in-painting).
    """
    times = torch.linspace(NUM_STEPS, 0, num_steps + 1).round().long()
    x, num_known = noise, known.shape[1]
    for now, after in pairwise(times.unbind()):
        shown = add_noise(known, now.expand(len(x)), noise[:, :num_known])
        x = torch.cat([shown, x[:, num_known:]], dim=1)
        clean = denoise(x, now.expand(len(x)))
        direction = (x - SHARES[now].sqrt() * clean) / (1 - SHARES[now]).sqrt()
        x = SHARES[after].sqrt() * clean + (1 - SHARES[after]).sqrt() * direction
    return torch.cat([known, x[:, num_known:]], dim=1)


def dance_in_windows(network: Normalised, make: MakeWindow, music: F32, seed: int, window: int) -> Danced:
    """A dance of any length: windows overlap by half, and each begins with the rows with which the last one ended.

    Args:
        network: Whose statistics count.
        make: Makes a window.
        music: [S, F] feature rows, not normalised; behind the end the last one is repeated to fill a window.
        seed: Of all the noise.
        window: T, even.

    Returns:
        S rows; edges are where the new half of each further window begins.
    """
    generator = torch.Generator().manual_seed(seed)
    half = window // 2
    num_further = max(0, math.ceil((len(music) - window) / half))
    heard = network.music_in(torch.from_numpy(music))
    behind = heard[-1:].expand(window + num_further * half - len(music), -1)
    heard = torch.cat([heard, behind])[None]
    rows = heard.new_zeros(1, 0, len(network.motion_mean))
    with torch.inference_mode():
        for start in range(0, num_further * half + 1, half):
            made = make(heard[:, start : start + window], rows[:, start:], generator)
            rows = torch.cat([rows[:, :start], made], dim=1)
        danced = network.motion_out(rows[0, : len(music)])
    return Danced(danced.numpy(), np.arange(window, len(music), half))
