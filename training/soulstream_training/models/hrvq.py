"""HRVQ: the causal hierarchical residual tokenizer of motion, in its folded form.

Four frames are folded into channels, every convolution runs at token rate and looks back only, and the decoder ends
with a short symmetric smoother at frame rate whose look-ahead shows as a delay of ``LOOK_AHEAD`` frames. Source:
SoulNet supplement (``method.md`` 4) for the hierarchy and the residual codes; folding and smoother are ours
(``tokenizer.md`` 3 and 4, ADR 2).

Letters: B batch, T frames, N tokens (T / 4), D motion features, P parts, Q levels.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .conv import CausalConv1d, CausalStack, Pointwise, State
from .quantizer import ChainedQuantizer, Quantised

FRAMES_PER_TOKEN = 4
SMOOTHER_TAPS = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
"""Binomial low-pass: brings the jerk at token boundaries from 5 times to about the truth's (``tokenizer.md`` 4)."""
LOOK_AHEAD = len(SMOOTHER_TAPS) // 2
"""Frames by which decoded motion lags its codes (2): output row i of a stream is motion frame i - LOOK_AHEAD."""


@dataclass(frozen=True)
class HrvqConfig:
    """Shape of the tokenizer; the ``stage`` preset is the default.

    ``part_dims`` gives the motion features of each part, in stream order; the last dimension of a clip is their sum.
    """

    parts: tuple[str, ...] = ("body",)
    part_dims: tuple[int, ...] = (263,)
    width: int = 256
    code_dim: int = 256
    num_codes: int = 256
    levels: int = 6
    dilations: tuple[int, ...] = (9, 3, 1, 9, 3, 1)
    dropout: float = 0.0
    quantiser_dropout: float = 0.2
    reset_below: float = 0.1

    def to_json(self) -> dict[str, Any]:
        """Plain dictionary for a checkpoint's JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> HrvqConfig:
        """Inverse of ``to_json`` (lists become tuples)."""
        settings: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in data.items()}
        return cls(**settings)


def toy_config(**changes: Any) -> HrvqConfig:
    """A tokenizer small enough for a test: width 32, 16 codes, 3 levels."""
    settings: dict[str, Any] = {
        "width": 32,
        "code_dim": 16,
        "num_codes": 16,
        "levels": 3,
        "dilations": (3, 1),
    } | changes
    return HrvqConfig(**settings)


class Smoother(nn.Module):
    """Fixed symmetric low-pass over frames, written causally: its output lags by ``LOOK_AHEAD`` frames."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.register_buffer("taps", torch.tensor(SMOOTHER_TAPS), persistent=False)

    taps: Tensor

    def forward(self, x: Tensor, state: State | None = None, keep: int | None = None) -> tuple[Tensor, State]:
        """[B, T, D] -> [B, T, D] delayed; state [B, 4, D] holds the last raw frames (of the first ``keep``)."""
        memory = len(SMOOTHER_TAPS) - 1
        if state is None:
            state = x.new_zeros(x.shape[0], memory, x.shape[2])
        padded = torch.cat([state.to(x.dtype), x], dim=1)
        steps = x.shape[1]
        smooth = sum(self.taps[i].to(x.dtype) * padded[:, i : i + steps] for i in range(memory + 1))
        kept = steps if keep is None else keep
        return smooth, padded[:, kept : kept + memory]  # type: ignore[return-value]


class PartEncoder(nn.Module):
    """One part's motion [B, T, D] -> latents [B, code_dim, T / 4]; no latent sees a later frame than its own four."""

    def __init__(self, dim: int, config: HrvqConfig) -> None:
        super().__init__()
        self.lift = Pointwise(dim * FRAMES_PER_TOKEN, config.width)
        self.stack = CausalStack(config.width, config.dilations, config.dropout)
        self.out = Pointwise(config.width, config.code_dim)

    def forward(self, x: Tensor, states: list[State] | None = None) -> tuple[Tensor, list[State]]:
        """T must be a multiple of 4."""
        batch, frames, dim = x.shape
        folded = x.reshape(batch, frames // FRAMES_PER_TOKEN, dim * FRAMES_PER_TOKEN).transpose(1, 2)
        hidden, states = self.stack(self.lift(folded), states)
        return self.out(F.relu(hidden)), states


class Decoder(nn.Module):
    """Latents [B, P * code_dim, N] -> motion [B, 4 N, D], delayed by ``LOOK_AHEAD`` frames; exact when cut anywhere."""

    def __init__(self, config: HrvqConfig) -> None:
        super().__init__()
        self.dim = sum(config.part_dims)
        self.enter = CausalConv1d(config.code_dim * len(config.parts), config.width, 3)
        self.stack = CausalStack(config.width, config.dilations, config.dropout)
        self.widen = Pointwise(config.width, 2 * config.width)
        self.unfold = Pointwise(2 * config.width, FRAMES_PER_TOKEN * self.dim)
        self.smoother = Smoother(self.dim)

    def initial_states(self, batch: int) -> list[State]:
        """Zeros: the entry convolution, every block, the smoother (in this order everywhere)."""
        weight = self.unfold.weight
        return [
            self.enter.initial_state(batch),
            *self.stack.initial_state(batch),
            weight.new_zeros(batch, len(SMOOTHER_TAPS) - 1, self.dim),
        ]

    def forward(
        self, latents: Tensor, states: list[State] | None = None, keep: int | None = None
    ) -> tuple[Tensor, list[State]]:
        """One forward for training (``states`` None) and streaming (states in, states after ``keep`` tokens out)."""
        if states is None:
            states = self.initial_states(latents.shape[0])
        hidden, enter_state = self.enter(latents, states[0], keep)
        hidden, stack_states = self.stack(F.relu(hidden), states[1:-1], keep)
        frames = self.unfold(F.relu(self.widen(hidden)))
        batch, _, tokens = frames.shape
        frames = frames.transpose(1, 2).reshape(batch, tokens * FRAMES_PER_TOKEN, self.dim)
        smooth, smooth_state = self.smoother(frames, states[-1], None if keep is None else keep * FRAMES_PER_TOKEN)
        return smooth, [enter_state, *stack_states, smooth_state]


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
        self.encoders = nn.ModuleList(PartEncoder(part_dim, config) for part_dim in config.part_dims)
        self.quantizer = ChainedQuantizer(
            len(config.parts),
            config.num_codes,
            config.code_dim,
            config.levels,
            config.quantiser_dropout,
            config.reset_below,
        )
        self.decoder = Decoder(config)

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
