"""What follows the decoder at frame rate: a low-pass over time, fixed or learned, or a mere delay.

Every smoother sees ``LOOK_AHEAD`` frames past the one it writes, so its output lags by so many, whichever is chosen:
losses, evaluation and engine need not know which one it was.

Letters: B batch, T frames, D motion features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .conv import Keep, State, after
from .hrvq_config import FRAMES_PER_TOKEN, SmootherKind

SMOOTHER_TAPS = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
"""Binomial low-pass: brings the jerk at token boundaries from 5 times to about the truth's (``tokenizer.md`` 4)."""
LOOK_AHEAD = len(SMOOTHER_TAPS) // 2
"""Frames by which decoded motion lags its codes (2): output row i of a stream is motion frame i - LOOK_AHEAD."""
LEARNED_TAPS = 9
"""Frames that the learned smoother sees: LOOK_AHEAD after the one it writes, six before it (ours)."""
LEARNED_WIDTH = 64
"""Values through which the columns of a frame mend each other in the learned smoother (ours)."""


class Smoother(nn.Module):
    """Fixed low-pass over frames, written causally: its output lags by ``LOOK_AHEAD`` frames.

    Args:
        channels: D.
        taps: Weights of the frames, oldest first; the one for the frame that is written comes ``LOOK_AHEAD`` + 1 from
            the end.
    """

    def __init__(self, channels: int, taps: tuple[float, ...] = SMOOTHER_TAPS) -> None:
        super().__init__()
        self.channels = channels
        self.memory = len(taps) - 1
        self.register_buffer("taps", torch.tensor(taps), persistent=False)

    taps: Tensor

    def initial_state(self, batch: int) -> State:
        """No motion before the start: [batch, memory, D] zeros."""
        return self.taps.new_zeros(batch, self.memory, self.channels)

    def forward(self, x: Tensor, state: State | None = None, keep: Keep = None) -> tuple[Tensor, State]:
        """[B, T, D] -> [B, T, D] delayed; state [B, memory, D] holds the last raw frames (of the first ``keep``)."""
        padded, state = _with_past(x, state, self.memory, keep)
        steps = x.shape[1]
        smooth = sum(self.taps[i].to(x.dtype) * padded[:, i : i + steps] for i in range(self.memory + 1))
        return smooth, state  # type: ignore[return-value]


class LearnedSmoother(nn.Module):
    """Small filter that starts as the binomial low-pass and learns from there, with the same delay.

    One filter over time per column and per place of a frame in its token (the jumps are at the ends of tokens), then
    the columns of a frame mend each other through ``LEARNED_WIDTH`` values; that part starts at zero. Source: ours.

    Args:
        channels: D.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.memory = LEARNED_TAPS - 1
        taps = torch.tensor((0.0,) * (LEARNED_TAPS - len(SMOOTHER_TAPS)) + SMOOTHER_TAPS)
        self.taps = nn.Parameter(taps[:, None, None].repeat(1, FRAMES_PER_TOKEN, channels))
        self.narrow = nn.Linear(channels, LEARNED_WIDTH)
        self.widen = nn.Linear(LEARNED_WIDTH, channels)
        nn.init.zeros_(self.widen.weight)
        nn.init.zeros_(self.widen.bias)

    def initial_state(self, batch: int) -> State:
        """No motion before the start: [batch, memory, D] zeros."""
        return self.taps.new_zeros(batch, self.memory, self.channels)

    def forward(self, x: Tensor, state: State | None = None, keep: Keep = None) -> tuple[Tensor, State]:
        """As ``Smoother.forward``; T must be a multiple of 4."""
        padded, state = _with_past(x, state, self.memory, keep)
        batch, steps, channels = x.shape
        tokens = (batch, steps // FRAMES_PER_TOKEN, FRAMES_PER_TOKEN, channels)
        smooth = sum(self.taps[i].to(x.dtype) * padded[:, i : i + steps].reshape(tokens) for i in range(LEARNED_TAPS))
        smooth = smooth.reshape(batch, steps, channels)  # type: ignore[union-attr]
        return smooth + self.widen(F.relu(self.narrow(smooth))), state


def make_smoother(kind: SmootherKind, channels: int) -> Smoother | LearnedSmoother:
    """The smoother of that name; ``none`` keeps the delay and changes nothing."""
    if kind == "learned":
        return LearnedSmoother(channels)
    return Smoother(channels, SMOOTHER_TAPS if kind == "binomial" else (1.0, *(0.0,) * LOOK_AHEAD))


def _with_past(x: Tensor, state: State | None, memory: int, keep: Keep) -> tuple[Tensor, State]:
    """The last frames and x in one [B, memory + T, D], and the state after ``keep`` frames."""
    if state is None:
        state = x.new_zeros(x.shape[0], memory, x.shape[2])
    padded = torch.cat([state.to(x.dtype), x], dim=1)
    return padded, after(padded, keep, x.shape[1], memory, axis=1)
