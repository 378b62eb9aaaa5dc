"""1-D convolutions with explicit state: one forward for training and for streaming, and an offline form of each.

A convolution is written as one matrix product over its taps: for the few steps of a tick and several plans at once that
is twice as fast in ONNX Runtime as its convolution, and as fast in training (LOG.md, 2026-11-27). *Causal* layers look
back only and remember what they still need; *offline* ones are centred, see the future and cannot stream.

Letters: B batch, C channels, T time steps. Not for: resampling (``conv_stack``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat

import torch
from torch import Tensor, nn
from torch.nn import functional as F

State = Tensor
"""The inputs a convolution has to remember: [B, C, (kernel - 1) * dilation + 1 - stride] float32; zeros at first."""


Keep = int | Tensor | None
"""The state that is returned is the one after so many steps: a number, [1] int64 where a graph is told at run time, or
``None`` for all steps."""


def after(padded: Tensor, keep: Keep, steps: int, memory: int, axis: int) -> Tensor:
    """What a layer remembers: ``memory`` steps of [its memory, then ``steps`` new ones], up to ``keep`` new ones."""
    if isinstance(keep, Tensor):
        return padded.index_select(axis, keep + torch.arange(memory, device=padded.device))
    return padded.narrow(axis, steps if keep is None else keep, memory)


class Pointwise(nn.Linear):
    """The same linear map at every step: [B, C, T] -> [B, out, T]."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102 (said above)
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class Conv1d(nn.Module):
    """Convolution over time; of T steps it makes T / stride.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel: Taps, at least 1.
        dilation: Steps between taps, at least 1.
        stride: Input steps per output step, at least 1.
        causal: Output step t sees no input after step ``stride * (t + 1) - 1``; else the taps are centred.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        dilation: int = 1,
        *,
        stride: int = 1,
        causal: bool = True,
    ) -> None:
        super().__init__()
        if kernel < 1 or dilation < 1 or stride < 1:
            raise ValueError(f"kernel {kernel}, dilation {dilation} and stride {stride} must be at least 1")
        if (kernel - 1) * dilation + 1 < stride:
            raise ValueError(f"{kernel} taps with dilation {dilation} leave out inputs at stride {stride}")
        self.in_channels = in_channels
        self.kernel = kernel
        self.dilation = dilation
        self.stride = stride
        self.causal = causal
        self.memory = (kernel - 1) * dilation + 1 - stride
        self.taps = Pointwise(kernel * in_channels, out_channels)

    def initial_state(self, batch: int) -> State:
        """Silence before the start: [batch, in_channels, memory] zeros.

        Raises:
            ValueError: If the layer is offline.
        """
        self._check_causal()
        return self.taps.weight.new_zeros(batch, self.in_channels, self.memory)

    def forward(self, x: Tensor, state: State | None = None, keep: Keep = None) -> tuple[Tensor, State]:
        """Filter a piece of the stream.

        Args:
            x: [B, C, T] the next T steps, a multiple of ``stride`` and at least 1.
            state: What the previous call returned; ``None`` starts from zeros.
            keep: The returned state is that after so many steps.

        Returns:
            Output [B, out_channels, T / stride] and the state for the next call. Pieces give what the whole gives.
            An offline layer returns an empty state.

        Raises:
            ValueError: If T is no multiple of ``stride``, or if a state is given to an offline layer.
        """
        steps = x.shape[2]
        if self.stride > 1 and steps % self.stride:
            raise ValueError(f"{steps} steps are no multiple of the stride {self.stride}")
        if state is not None:
            self._check_causal()
            padded = torch.cat([state.to(x.dtype), x], dim=2)
        else:
            ahead = 0 if self.causal else self.memory // 2
            padded = F.pad(x, (self.memory - ahead, ahead))
        starts = [tap * self.dilation for tap in range(self.kernel)]
        shifted = [padded[:, :, start : start + steps : self.stride] for start in starts]
        remembered = after(padded, keep, steps, self.memory, axis=2) if self.causal else padded[:, :, :0]
        return self.taps(torch.cat(shifted, dim=1)), remembered

    def _check_causal(self) -> None:
        if not self.causal:
            raise ValueError("an offline layer sees the future and cannot stream; build the model with causal = true")


class Flow:
    """Hands every layer of a network its state, in the order of execution, and collects the new ones.

    Args:
        states: One per layer; ``None`` starts all of them from zeros.
        keep: The new states are those after so many tokens.
    """

    def __init__(self, states: Sequence[State] | None, keep: Keep = None) -> None:
        self._states: Iterator[State | None] = repeat(None) if states is None else iter(states)
        self._keep = keep
        self.new: list[State] = []

    def through(self, layer: nn.Module, x: Tensor, rate: int = 1) -> Tensor:
        """Run one layer; ``rate`` is its steps per token."""
        y, state = layer(x, next(self._states), None if self._keep is None else self._keep * rate)
        self.new.append(state)
        return y


class ResidualBlock(nn.Module):
    """ReLU, dilated k3 convolution, ReLU, k1 convolution, dropout, plus the input (method of MoMask's Resnet1D block).

    Args:
        width: Channels in and out.
        dilation: Steps between the taps of the first convolution.
        dropout: Probability of dropping a channel value in training.
        causal: Look back only, or be centred.
    """

    def __init__(self, width: int, dilation: int, dropout: float = 0.0, causal: bool = True) -> None:
        super().__init__()
        self.conv = Conv1d(width, width, 3, dilation, causal=causal)
        self.mix = Pointwise(width, width)
        self.dropout = nn.Dropout(dropout)

    def initial_state(self, batch: int) -> State:
        """Zeros (see ``Conv1d.initial_state``)."""
        return self.conv.initial_state(batch)

    def forward(self, x: Tensor, state: State | None = None, keep: Keep = None) -> tuple[Tensor, State]:
        """[B, width, T] and state in, the same shapes out (see ``Conv1d.forward``)."""
        hidden, state = self.conv(F.relu(x), state, keep)
        return x + self.dropout(self.mix(F.relu(hidden))), state


class ResidualStack(nn.Module):
    """Residual blocks one after another; its state is the list of their states.

    Args:
        width: Channels in and out.
        dilations: One per block, in order of execution.
        dropout: Dropout inside the blocks.
        causal: Look back only, or be centred.
    """

    def __init__(self, width: int, dilations: tuple[int, ...], dropout: float = 0.0, causal: bool = True) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(ResidualBlock(width, dilation, dropout, causal) for dilation in dilations)

    def initial_state(self, batch: int) -> list[State]:
        """Zeros for every block."""
        return [block.initial_state(batch) for block in self.blocks]  # type: ignore[operator]

    def forward(self, x: Tensor, states: list[State] | None = None, keep: Keep = None) -> tuple[Tensor, list[State]]:
        """[B, width, T] in and out; the states (after ``keep`` steps) travel beside it."""
        flow = Flow(states, keep)
        for block in self.blocks:
            x = flow.through(block, x)
        return x, flow.new
