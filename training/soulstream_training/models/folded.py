"""The folded stack: four frames in the channels, every convolution at token rate.

Source: ours (``tokenizer.md`` 3 and 4, ADR 2): twice as good as the paper's stack for the same time of training, and
twice as fast.

Letters: B batch, T frames, N tokens (T / 4), D motion features, P parts.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from .conv import Conv1d, Flow, Keep, Pointwise, ResidualStack, State
from .hrvq_config import FRAMES_PER_TOKEN, HrvqConfig
from .smoothers import make_smoother


class FoldedEncoder(nn.Module):
    """One part's motion [B, T, D] -> latents [B, code_dim, T / 4]; if causal, none sees a later frame than its four.

    Args:
        dim: Motion features of the part.
        config: Shape.
    """

    def __init__(self, dim: int, config: HrvqConfig) -> None:
        super().__init__()
        self.lift = Pointwise(dim * FRAMES_PER_TOKEN, config.width)
        self.stack = ResidualStack(config.width, config.dilations, config.dropout, config.causal)
        self.out = Pointwise(config.width, config.code_dim)

    def forward(self, x: Tensor, states: list[State] | None = None) -> tuple[Tensor, list[State]]:
        """T must be a multiple of 4."""
        batch, frames, dim = x.shape
        folded = x.reshape(batch, frames // FRAMES_PER_TOKEN, dim * FRAMES_PER_TOKEN).transpose(1, 2)
        hidden, states = self.stack(self.lift(folded), states)
        return self.out(F.relu(hidden)), states


class FoldedDecoder(nn.Module):
    """Latents [B, P * code_dim, N] -> motion [B, 4 N, D], ``LOOK_AHEAD`` frames late; if causal, exact in any pieces.

    Args:
        config: Shape.
    """

    def __init__(self, config: HrvqConfig) -> None:
        super().__init__()
        self.dim = sum(config.part_dims)
        self.enter = Conv1d(config.code_dim * len(config.parts), config.width, 3, causal=config.causal)
        self.stack = ResidualStack(config.width, config.dilations, config.dropout, config.causal)
        self.widen = Pointwise(config.width, 2 * config.width)
        self.unfold = Pointwise(2 * config.width, FRAMES_PER_TOKEN * self.dim)
        self.smoother = make_smoother(config.smoother, self.dim)

    def initial_states(self, batch: int) -> list[State]:
        """Zeros: the entry convolution, every block, the smoother (in this order everywhere)."""
        return [
            self.enter.initial_state(batch),
            *self.stack.initial_state(batch),
            self.smoother.initial_state(batch),
        ]

    def forward(
        self, latents: Tensor, states: list[State] | None = None, keep: Keep = None
    ) -> tuple[Tensor, list[State]]:
        """One forward for training (``states`` None) and streaming (states in, states after ``keep`` tokens out)."""
        flow = Flow(states, keep)
        hidden = F.relu(flow.through(self.enter, latents))
        for block in self.stack.blocks:
            hidden = flow.through(block, hidden)
        frames = self.unfold(F.relu(self.widen(hidden)))
        batch, _, tokens = frames.shape
        frames = frames.transpose(1, 2).reshape(batch, tokens * FRAMES_PER_TOKEN, self.dim)
        return flow.through(self.smoother, frames, FRAMES_PER_TOKEN), flow.new
