"""One step of the retrieval model: both latents of a batch, the motion made again, and the loss.

A batch that does not fit the memory is encoded in chunks; what lies between is computed again for the gradients, so the
contrast is that of the whole batch (GradCache, Gao et al. 2021). Not for: the recipe's settings (``mmr_recipe``).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from soulstream_engine.features.layout import COLUMNS
from soulstream_training.losses.mmr import (
    MmrLossWeights,
    false_negatives,
    info_nce,
    kl_terms,
    reconstruction_loss,
)
from soulstream_training.models.mmr import TIMBRE, Latent, LatentEncoder, Mmr

from .mmr_pairs import PairBatch
from .mmr_recipe import MmrRecipe


def batch_loss(
    model: Mmr,
    batch: PairBatch,
    recipe: MmrRecipe,
    weights: MmrLossWeights,
    generator: torch.Generator,
    guide: Mmr | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """Loss of one batch; the same, but for dropout, however it is cut into chunks.

    Args:
        model: In training mode.
        batch: Windows.
        recipe: Settings.
        weights: Of the terms.
        generator: Randomness.
        guide: The teacher, or ``None``.

    Returns:
        Scalar loss and numbers to log.
    """
    reads_heavy = batch.heavy is not None and guide is None
    heard = batch.heavy if reads_heavy and batch.heavy is not None else batch.music
    if not reads_heavy:
        heard = without_timbre(model.music, heard, recipe.hide_timbre, generator)
    motion = _encoded(model.motion, batch.motion, recipe.chunk)
    music = _encoded(model.music, heard, recipe.chunk)
    shifted = None
    if len(batch.shifted) and not reads_heavy:
        rows = [without_timbre(model.music, off, recipe.hide_timbre, generator) for off in batch.shifted]
        shifted = torch.stack([_encoded(model.music, off, recipe.chunk).mu for off in rows]).float()
    kept = slice(0, recipe.rebuilt or None)
    noise = torch.randn(2, *motion.mu.shape, generator=generator)
    drawn_motion, drawn_music = motion.sample(noise[0]), music.sample(noise[1])
    target = (batch.motion[kept] - model.motion.mean) / model.motion.std
    rebuilt = torch.stack(
        [
            _reconstructed(model, latent[kept], target, batch.worth[kept], recipe.chunk)
            for latent in (drawn_motion, drawn_music)
        ]
    ).sum()
    with torch.autocast("cpu", enabled=False):
        left_out = false_negatives(
            recipe.negative_filter, batch.song, batch.start_s, batch.embedding, weights.filter_at
        )
        contrast = info_nce(motion.mu.float(), music.mu.float(), left_out, weights.temperature, shifted)
        kl = kl_terms(Latent(*(part.float() for part in motion)), Latent(*(part.float() for part in music)))
        latent = F.smooth_l1_loss(drawn_music.float(), drawn_motion.float())
        loss = (
            weights.reconstruction * rebuilt + weights.kl * kl + weights.latent * latent + weights.contrast * contrast
        )
        numbers = {"rebuilt": float(rebuilt.detach()), "contrast": float(contrast.detach()), "kl": float(kl.detach())}
        if guide is not None and batch.heavy is not None:
            with torch.no_grad():
                wanted = guide.music(batch.heavy).mu.float()
            distance = (1.0 - F.cosine_similarity(music.mu.float(), wanted)).mean()
            loss = loss + recipe.distil * distance
            numbers["distil"] = float(distance.detach())
    return loss, {"loss": float(loss.detach())} | numbers


def without_timbre(encoder: LatentEncoder, music: Tensor, chance: float, generator: torch.Generator) -> Tensor:
    """Live music [B, T, F], the timbre of some windows replaced by its mean."""
    if chance == 0.0:
        return music
    hidden = torch.rand(len(music), 1, 1, generator=generator) < chance
    is_timbre = torch.zeros(music.shape[2], dtype=torch.bool)
    for name in TIMBRE:
        is_timbre[COLUMNS[name]] = True
    return torch.where(hidden & is_timbre, encoder.mean, music)


def _encoded(encoder: LatentEncoder, rows: Tensor, chunk: int) -> Latent:
    """Encodes some rows at a time; what lies between is computed again for the gradients (GradCache)."""
    if chunk == 0 or chunk >= len(rows):
        return encoder(rows)
    parts = [checkpoint(encoder, some, use_reentrant=False) for some in rows.split(chunk)]
    return Latent(torch.cat([part.mu for part in parts]), torch.cat([part.logvar for part in parts]))


def _reconstructed(model: Mmr, latent: Tensor, target: Tensor, worth: Tensor, chunk: int) -> Tensor:
    """Loss of the decoder on a batch of latents."""
    frames = target.shape[1]
    if chunk == 0 or chunk >= len(latent):
        return reconstruction_loss(model.decoder(latent, frames).float(), target, worth)
    made = [checkpoint(model.decoder, rows, frames, use_reentrant=False) for rows in latent.split(chunk)]
    return reconstruction_loss(torch.cat(made).float(), target, worth)
