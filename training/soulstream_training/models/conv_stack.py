"""The paper's stack: strided convolutions from frame to token rate and back, residual blocks at the two slower rates.

Source: ``method.md`` 4.1; the causal form and its state are 12.4. Offline, an output frame hangs on 22 tokens to either
side; causal, on 44 before it and none after.

Letters: B batch, T frames, N tokens (T / 4), D motion features, P parts.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from .conv import Conv1d, Flow, Keep, ResidualStack, State
from .hrvq_config import FRAMES_PER_TOKEN, HrvqConfig
from .smoothers import make_smoother

HALVINGS = 2
"""Stages that halve (or double) the rate: 2 ** HALVINGS == FRAMES_PER_TOKEN."""


class ConvEncoder(nn.Module):
    """One part's motion [B, T, D] -> latents [B, code_dim, T / 4]; if causal, none sees a later frame than its four.

    Args:
        dim: Motion features of the part.
        config: Shape.
    """

    def __init__(self, dim: int, config: HrvqConfig) -> None:
        super().__init__()
        width, causal = config.width, config.causal
        self.enter = Conv1d(dim, width, 3, causal=causal)
        self.halve = nn.ModuleList(Conv1d(width, width, 4, stride=2, causal=causal) for _ in range(HALVINGS))
        self.stacks = nn.ModuleList(
            ResidualStack(width, config.dilations, config.dropout, causal) for _ in range(HALVINGS)
        )
        self.out = Conv1d(width, config.code_dim, 3, causal=causal)

    def forward(self, x: Tensor, states: list[State] | None = None) -> tuple[Tensor, list[State]]:
        """T must be a multiple of 4."""
        flow = Flow(states)
        hidden = F.relu(flow.through(self.enter, x.transpose(1, 2)))
        for halve, stack in zip(self.halve, self.stacks, strict=True):
            hidden = flow.through(halve, hidden)
            for block in stack.blocks:  # type: ignore[union-attr]
                hidden = flow.through(block, hidden)
        return flow.through(self.out, hidden), flow.new


class ConvDecoder(nn.Module):
    """Latents [B, P * code_dim, N] -> motion [B, 4 N, D], ``LOOK_AHEAD`` frames late; if causal, exact in any pieces.

    Args:
        config: Shape.
    """

    def __init__(self, config: HrvqConfig) -> None:
        super().__init__()
        width, causal = config.width, config.causal
        dim = sum(config.part_dims)
        self.enter = Conv1d(config.code_dim * len(config.parts), width, 3, causal=causal)
        self.stacks = nn.ModuleList(
            ResidualStack(width, config.dilations, config.dropout, causal) for _ in range(HALVINGS)
        )
        self.doubling = nn.ModuleList(Conv1d(width, width, 3, causal=causal) for _ in range(HALVINGS))
        self.widen = Conv1d(width, width, 3, causal=causal)
        self.out = Conv1d(width, dim, 3, causal=causal)
        self.smoother = make_smoother(config.smoother, dim)

    def initial_states(self, batch: int) -> list[State]:
        """Zeros: every convolution in the order of execution, then the smoother."""
        states = [self.enter.initial_state(batch)]
        for stack, double in zip(self.stacks, self.doubling, strict=True):
            states += [*stack.initial_state(batch), double.initial_state(batch)]  # type: ignore[operator]
        return [*states, *(layer.initial_state(batch) for layer in (self.widen, self.out, self.smoother))]

    def forward(
        self, latents: Tensor, states: list[State] | None = None, keep: Keep = None
    ) -> tuple[Tensor, list[State]]:
        """One forward for training (``states`` None) and streaming (states in, states after ``keep`` tokens out)."""
        flow = Flow(states, keep)
        hidden = F.relu(flow.through(self.enter, latents))
        for stage, (stack, double) in enumerate(zip(self.stacks, self.doubling, strict=True)):
            rate = 2**stage
            for block in stack.blocks:  # type: ignore[union-attr]
                hidden = flow.through(block, hidden, rate)
            hidden = flow.through(double, _twice(hidden), 2 * rate)
        hidden = F.relu(flow.through(self.widen, hidden, FRAMES_PER_TOKEN))
        frames = flow.through(self.out, hidden, FRAMES_PER_TOKEN).transpose(1, 2)
        return flow.through(self.smoother, frames, FRAMES_PER_TOKEN), flow.new


def _twice(x: Tensor) -> Tensor:
    """Every step twice: [B, C, T] -> [B, C, 2 T] (nearest neighbour)."""
    return x[..., None].expand(*x.shape, 2).flatten(2)
