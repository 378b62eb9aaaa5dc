"""A network of a few numbers with the signature of a bundle's steps: it records what it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.features.layout import NUM_FEATURES
from soulstream_engine.frames import FeatureFrame
from soulstream_engine.sampling.window import FOR_ONE, WindowShape

DIM = 3
"""Motion features of the fake decoder."""

SHAPE = WindowShape(
    candidates=3, halves=2, num_parts=2, levels=3, num_codes=8, context=6, planned=4, commit=2, fresh_past=1, layers=1,
    heads=1, head_width=2,
)  # fmt: skip


class ToyNetwork:
    """Steps whose outputs say where they came from.

    Keys of a music token are its first feature row's first column; keys of a committed position are its level-0 code;
    the decoder counts its output frames and keeps the count in its state; beside it, in column 1 of motion and state,
    stands the number of the plan. ``pace`` is what every plan's body is said to do.
    """

    def __init__(self, shape: WindowShape = SHAPE) -> None:
        self.shape = shape
        self.calls: list[tuple[str, dict[str, NDArray[Any]]]] = []
        scores = (shape.halves, shape.candidates, shape.positions, shape.num_codes)
        self.logits = {name: np.zeros(scores, np.float32) for name in ("mask", "residual")}
        self.pace = np.ones((shape.candidates, 4 * shape.planned), np.float32)

    def named(self, name: str) -> list[dict[str, NDArray[Any]]]:
        """Inputs of every call of one step, oldest first."""
        return [inputs for called, inputs in self.calls if called == name]

    def decoder_states(self) -> dict[str, NDArray[Any]]:
        """The decoder before its first call."""
        return {"state_0": np.zeros((self.shape.candidates, 2), np.float32)}

    def run(self, name: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """One step (``sampling.window.RunStep``); a stage is recorded under its own name however many plans it sees."""
        if name.endswith(FOR_ONE):
            assert len(inputs["codes"]) == 1
            name = name.removesuffix(FOR_ONE)
        self.calls.append((name, {key: np.array(value) for key, value in inputs.items()}))
        shape = self.shape
        lead = (shape.halves, shape.layers, shape.heads)
        if name == "music":
            tokens = inputs["rows"][:, 0, 0]
            spread = np.broadcast_to(tokens[:, None], (*lead, len(tokens), shape.head_width)).astype(np.float32)
            width = np.broadcast_to(tokens[:, None], (shape.halves, len(tokens), 4)).astype(np.float32)
            out = {f"{stage}_{kind}": spread for stage in ("mask", "residual") for kind in ("k", "v")}
            return out | {f"{stage}_tokens": width for stage in ("mask", "residual")}
        if name == "decoder":
            frames = shape.commit * 4
            count = float(inputs["state_0"][0, 0])
            motion = count + np.arange(frames, dtype=np.float32)
            rows = np.repeat(np.broadcast_to(motion[:, None], (frames, DIM))[None], shape.candidates, axis=0)
            plan = np.arange(shape.candidates, dtype=np.float32)
            rows[..., 1] = plan[:, None]
            state = np.stack([inputs["state_0"][:, 0] + frames, plan], axis=1)
            return {"motion": rows, "pace": self.pace, "next_state_0": state}
        codes = inputs["codes"][0, :, 0].astype(np.float32)
        new = np.broadcast_to(codes[:, None], (*lead, shape.positions, shape.head_width)).astype(np.float32)
        return {"logits": self.logits[name][:, : len(inputs["codes"])], "new_k": new, "new_v": new}


def feature_frame(index: int, value: float | None = None, *, is_silent: bool = False) -> FeatureFrame:
    """A frame whose first column is ``value`` (default: its index)."""
    values = np.zeros(NUM_FEATURES, np.float32)
    values[0] = index if value is None else value
    values[-1] = 1.0
    return FeatureFrame(
        index=index, values=values, level_dbfs=-20.0, onset=0.0, tempo_bpm=None, beat_phase=None, confidence=0.0,
        is_silent=is_silent,
    )  # fmt: skip
