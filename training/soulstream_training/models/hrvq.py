"""HRVQ: the hierarchical residual tokenizer of motion.

An encoder per part, codes chained from part to part, and one decoder with a short smoother at frame rate, whose
look-ahead shows as a delay of ``LOOK_AHEAD`` frames. Encoders and decoder are *folded* (ours) or the paper's *conv*
stack, as the config says; with a single part called ``whole`` the same class is the RVQ or the VQ it is compared with.
Source: SoulNet supplement (``method.md`` 4) for the hierarchy and the residual codes.

Letters: B batch, T frames, N tokens (T / 4), D motion features, P parts, Q levels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .conv import State
from .conv_stack import ConvDecoder, ConvEncoder
from .folded import FoldedDecoder, FoldedEncoder
from .hrvq_config import FRAMES_PER_TOKEN, HrvqConfig, preset, toy_config
from .quantizer import ChainedQuantizer, Quantised
from .smoothers import LOOK_AHEAD

__all__ = [
    "FRAMES_PER_TOKEN",
    "LOOK_AHEAD",
    "Hrvq",
    "HrvqConfig",
    "make_decoder",
    "make_encoder",
    "preset",
    "toy_config",
]


def make_encoder(dim: int, config: HrvqConfig) -> FoldedEncoder | ConvEncoder:
    """The encoder of one part of ``dim`` features."""
    return FoldedEncoder(dim, config) if config.stack == "folded" else ConvEncoder(dim, config)


def make_decoder(config: HrvqConfig) -> FoldedDecoder | ConvDecoder:
    """The decoder of all parts."""
    return FoldedDecoder(config) if config.stack == "folded" else ConvDecoder(config)


class Hrvq(nn.Module):
    """Encoders, chained quantiser and decoder, with the normalisation of the data inside.

    Args:
        config: Shape.
    """

    def __init__(self, config: HrvqConfig) -> None:
        super().__init__()
        self.config = config
        dim = sum(config.part_dims)
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))
        self.encoders = nn.ModuleList(make_encoder(part_dim, config) for part_dim in config.part_dims)
        self.quantizer = ChainedQuantizer(
            len(config.parts),
            config.num_codes,
            config.code_dim,
            config.levels,
            config.quantiser_dropout,
            config.reset_below,
            reset_rule=config.reset_rule,
            temperature=config.temperature,
            decay=config.decay,
            share_hints=config.share_hints,
            causal=config.causal,
        )
        self.decoder = make_decoder(config)

    mean: Tensor
    std: Tensor

    def encode(self, motion: Tensor) -> list[Tensor]:
        """Raw motion features [B, T, D] -> P latents [B, code_dim, T / 4]."""
        normal = (motion - self.mean) / self.std
        pieces = normal.split(list(self.config.part_dims), dim=2)
        return [encoder(piece)[0] for encoder, piece in zip(self.encoders, pieces, strict=True)]

    @torch.no_grad()
    def tokenize(self, motion: Tensor) -> Tensor:
        """Raw motion features [B, T, D] -> codes [B, P, T / 4, Q] int64 (evaluation mode)."""
        return self.quantizer(self.encode(motion), levels=self.config.levels).codes  # type: ignore[no-any-return]

    def detokenize(self, codes: Tensor, states: list[State] | None = None) -> tuple[Tensor, list[State]]:
        """Codes [B, P, N, Q] -> raw motion features [B, 4 N, D] (delayed by ``LOOK_AHEAD``), and states."""
        normal, states = self.decoder(self.quantizer.lookup(codes), states)
        return normal * self.std + self.mean, states

    def forward(
        self, motion: Tensor, generator: torch.Generator | None = None, levels: int | None = None
    ) -> tuple[Tensor, Quantised]:
        """Reconstruct.

        Args:
            motion: [B, T, D] raw motion features, T a multiple of 4.
            generator: Randomness of training.
            levels: Number of levels to use in evaluation.

        Returns:
            Reconstruction [B, T, D] in *normalised* units, delayed by ``LOOK_AHEAD`` frames, and the codes.
        """
        quantised = self.quantizer(self.encode(motion), generator, levels)
        normal, _ = self.decoder(quantised.latents)
        return normal, quantised
