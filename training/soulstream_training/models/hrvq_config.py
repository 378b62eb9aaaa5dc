"""The shape of a tokenizer, and the shapes that have a name.

``hrvq`` gives every part its own encoder and chains their codes; ``rvq`` and ``vq512`` / ``vq1024`` put all columns
through one encoder, with six levels and with one; ``rvq18`` is the control that spends as many bits as ``hrvq`` on
three parts. Each comes in three sizes: the ``paper``'s, ours (``stage``) and one for tests (``toy``).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from soulstream_engine.clock import FPS
from soulstream_engine.motion.faces import FACE_SPACES
from soulstream_engine.motion.representation import BODY_DIM, HANDS_DIM

FRAMES_PER_TOKEN = 4

Stack = Literal["folded", "conv"]
"""``folded``: four frames in the channels, convolutions at token rate (ours); ``conv``: the paper's strided stack."""
SmootherKind = Literal["binomial", "learned", "none"]
"""What follows the decoder at frame rate; all of them lag by the same two frames."""
ResetRule = Literal["restart", "redraw"]
"""How codes that are hardly used are replaced (``quantizer.Codebook``)."""
Size = Literal["paper", "stage", "toy"]
"""Widths, counts and learning rules that go together."""


@dataclass(frozen=True)
class HrvqConfig:
    """Shape of the tokenizer; the ``stage`` preset is the default.

    ``part_dims`` gives the motion features of each part, in stream order; the last dimension of a clip is their sum.
    ``dilations`` are those of one residual stack, in order of execution. The settings from ``quantiser_dropout`` down
    to ``share_hints`` are explained in ``quantizer.py``. Without ``causal`` every layer is centred and nothing streams.
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
    reset_rule: ResetRule = "restart"
    temperature: float = 0.0
    decay: float = 0.99
    share_hints: bool = False
    stack: Stack = "folded"
    causal: bool = True
    smoother: SmootherKind = "binomial"

    def __post_init__(self) -> None:
        if len(self.parts) != len(self.part_dims):
            raise ValueError(f"parts {self.parts} and part_dims {self.part_dims} must have one entry per part")
        for name, value, known in (
            ("stack", self.stack, Stack),
            ("smoother", self.smoother, SmootherKind),
            ("reset_rule", self.reset_rule, ResetRule),
        ):
            if value not in get_args(known):
                raise ValueError(f"{name} {value!r} is not one of {', '.join(get_args(known))}")

    @property
    def bits_per_second(self) -> float:
        """What the codes of one second can tell: parts x levels x log2(codes) x tokens per second."""
        return len(self.parts) * self.levels * math.log2(self.num_codes) * FPS / FRAMES_PER_TOKEN

    def to_json(self) -> dict[str, Any]:
        """Plain dictionary for a checkpoint's JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> HrvqConfig:
        """Inverse of ``to_json`` (lists become tuples; what an older checkpoint does not name has its default)."""
        settings: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in data.items()}
        return cls(**settings)


_SIZES: dict[Size, dict[str, Any]] = {
    "paper": {
        **{"width": 512, "code_dim": 512, "num_codes": 512, "levels": 6},
        **{"dropout": 0.2, "quantiser_dropout": 0.2, "share_hints": True},
        **{"reset_below": 1.0, "reset_rule": "redraw", "temperature": 0.5, "decay": 0.99},
    },
    "stage": {},
    "toy": {"width": 32, "code_dim": 16, "num_codes": 16, "levels": 3},
}
"""What differs from the defaults. Source of ``paper``: ``method.md`` 4.1 to 4.3."""

_NAMES: dict[str, dict[str, Any]] = {
    "hrvq": {},
    "rvq": {},
    "rvq18": {"levels": 18},
    "vq512": {"levels": 1, "num_codes": 512},
    "vq1024": {"levels": 1, "num_codes": 1024},
}

MOTIONS = (*FACE_SPACES, "none", "body")
"""Columns that a preset may cover: everything with one of the face spaces, body and hands (``none``), body alone."""


def toy_config(**changes: Any) -> HrvqConfig:
    """A tokenizer small enough for a test: width 32, 16 codes, 3 levels."""
    return HrvqConfig(**(_SIZES["toy"] | {"dilations": (3, 1)} | changes))


def preset(
    name: str, *, size: Size = "stage", stack: Stack | None = None, face_space: str = "arkit52", **changes: Any
) -> HrvqConfig:
    """A tokenizer that has a name.

    Args:
        name: ``hrvq``, ``rvq``, ``rvq18``, ``vq512`` or ``vq1024``.
        size: ``paper``, ``stage`` or ``toy``.
        stack: ``None`` is what the size stands for: ``conv`` for ``paper``, else ``folded``.
        face_space: One of ``MOTIONS``.
        changes: Fields of ``HrvqConfig`` to set differently. The paper's own stack is offline; ``causal=True`` makes
            it live.

    Returns:
        The config: one part called ``whole`` for all but ``hrvq``.

    Raises:
        ValueError: If a name is unknown.
    """
    for what, value, known in (
        ("tokenizer", name, tuple(_NAMES)),
        ("size", size, get_args(Size)),
        ("face space", face_space, MOTIONS),
    ):
        if value not in known:
            raise ValueError(f"{what} {value!r} is not one of {', '.join(known)}")
    stack = stack or ("conv" if size == "paper" else "folded")
    dims = {"body": BODY_DIM}
    if face_space != "body":
        dims["hands"] = HANDS_DIM
    if face_space in FACE_SPACES:
        dims["face"] = FACE_SPACES[face_space]
    if name != "hrvq":
        dims = {"whole": sum(dims.values())}
    return HrvqConfig(
        **(
            {"parts": tuple(dims), "part_dims": tuple(dims.values()), "stack": stack}
            | _stack_settings(stack, size)
            | _SIZES[size]
            | _NAMES[name]
            | changes
        )
    )


def _stack_settings(stack: Stack, size: Size) -> dict[str, Any]:
    """Dilations in execution order, and what each stack ends with."""
    dilations = (3, 1) if size == "toy" else (9, 3, 1)
    if stack == "conv":
        return {"dilations": dilations, "smoother": "none", "causal": size != "paper"}
    return {"dilations": dilations if size == "toy" else dilations * 2}
