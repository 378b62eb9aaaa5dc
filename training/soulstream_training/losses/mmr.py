"""Loss of the retrieval model: motion made again from both latents, equal distributions, InfoNCE (``method.md`` 6.2).

InfoNCE leaves out negatives that are none: music that sounds alike, or the same music at nearly the same time. Beside
the published form it can be given the true music shifted in time: the same sound, off the beat (ours, ADR 11).

Letters: B batch, S shifted copies of the music, T frames, D motion columns, W width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from soulstream_training.models.mmr import Latent

NegativeFilter = Literal["none", "same_song", "audio_sim"]
NEGATIVE_FILTERS: tuple[NegativeFilter, ...] = get_args(NegativeFilter)

SAME_SONG_S = 5.0
"""Windows of one song that begin closer together than this are near-duplicates (``method.md`` 6.2)."""


@dataclass(frozen=True, slots=True)
class MmrLossWeights:
    """Weights of the terms and constants of InfoNCE; the defaults are the published ones (TMR, ``method.md`` 6.2).

    ``filter_at``: similarity of music, as a cosine mapped to 0..1, over which a negative is none.
    """

    reconstruction: float = 1.0
    kl: float = 1e-5
    latent: float = 1e-5
    contrast: float = 0.1
    temperature: float = 0.1
    filter_at: float = 0.8


def kl_divergence(of: Latent, to: Latent) -> Tensor:
    """Mean divergence KL(of || to) of diagonal normal distributions, averaged over batch and width."""
    ratio = torch.exp(of.logvar - to.logvar)
    distance = (of.mu - to.mu) ** 2 / torch.exp(to.logvar)
    return 0.5 * (ratio + distance - 1.0 + to.logvar - of.logvar).mean()


def kl_terms(motion: Latent, music: Latent) -> Tensor:
    """Sum of the four divergences: each to the other, and each to the standard normal."""
    standard = Latent(torch.zeros_like(motion.mu), torch.zeros_like(motion.logvar))
    return (
        kl_divergence(music, motion)
        + kl_divergence(motion, music)
        + kl_divergence(motion, standard)
        + kl_divergence(music, standard)
    )


def reconstruction_loss(made: Tensor, target: Tensor, worth: Tensor) -> Tensor:
    """SmoothL1 of normalised motion [B, T, D], columns weighed by what they are worth [B, D]."""
    error = F.smooth_l1_loss(made, target, reduction="none").mean(1)
    return (error * worth).sum() / worth.sum().clamp(min=1.0)


def false_negatives(
    kind: NegativeFilter, song: Tensor, start_s: Tensor, embedding: Tensor, filter_at: float = 0.8
) -> Tensor:
    """Pairs of a batch that must not count as negatives.

    Args:
        kind: ``none``, ``same_song`` (the same song within 5 s), or ``audio_sim`` (that, or music that sounds alike).
        song: [B] int, equal for windows of one song.
        start_s: [B] seconds at which each window begins.
        embedding: [B, E] music averaged over time, columns of deviation 1.
        filter_at: Similarity, mapped to 0..1, over which music sounds alike.

    Returns:
        [B, B] bool, symmetric, false on the diagonal.
    """
    size = len(song)
    if kind == "none":
        return torch.zeros(size, size, dtype=torch.bool)
    left_out = (song[:, None] == song[None]) & ((start_s[:, None] - start_s[None]).abs() < SAME_SONG_S)
    if kind == "audio_sim":
        unit = F.normalize(embedding, dim=-1)
        left_out = left_out | (unit @ unit.T > 2.0 * filter_at - 1.0)
    return left_out & ~torch.eye(size, dtype=torch.bool)


def info_nce(
    motion: Tensor, music: Tensor, left_out: Tensor, temperature: float, shifted: Tensor | None = None
) -> Tensor:
    """Symmetric InfoNCE on cosine similarity.

    Args:
        motion: [B, W] latents.
        music: [B, W] latents of the music of the same windows.
        left_out: [B, B] bool, pairs that are no negatives.
        temperature: Of the softmax.
        shifted: [S, B, W] latents of each window's music, shifted off its beat: negatives of every motion.

    Returns:
        Scalar.
    """
    motion, music = F.normalize(motion, dim=-1), F.normalize(music, dim=-1)
    target = torch.arange(len(motion))
    to_music = (motion @ music.T / temperature).masked_fill(left_out, -torch.inf)
    to_motion = to_music.T
    if shifted is not None:
        off_beat = torch.einsum("bw,scw->sbc", motion, F.normalize(shifted, dim=-1)) / temperature
        off_beat = off_beat.masked_fill(left_out, -torch.inf)
        to_music = torch.cat([to_music, *off_beat], dim=1)
    return 0.5 * (F.cross_entropy(to_music, target) + F.cross_entropy(to_motion, target))
