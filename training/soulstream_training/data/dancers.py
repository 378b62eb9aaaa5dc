"""Several dancers of one take: one ``ModelMotion`` each, told apart by ``dancer``, of one rate and one length.

A take of one dancer has an empty ``dancer``. In a file of several, they are numbered from 1. In the clip table each
becomes a clip of its own, named after the take and the dancer, and ``partner_id`` names the others.
Letters: P dancers, T frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from soulstream_engine.errors import ConfigError
from soulstream_training.data.asf import refuse
from soulstream_training.data.recording import ModelMotion

MAX_DANCERS = 5
"""Most dancers of a take. Source: the SoulDance data set has 1 to 5."""


@dataclass(frozen=True, slots=True)
class Take:
    """A take of 1 to 5 dancers who danced together.

    Attributes:
        name: Name of the take.
        motions: One motion a dancer, same rate and length, distinct ``dancer`` names (one may be empty if alone).
    """

    name: str
    motions: tuple[ModelMotion, ...]

    def clip_ids(self) -> tuple[str, ...]:
        """Clip names in the order of ``motions``: ``take``, or ``take.dancer``."""
        return tuple(f"{self.name}.{motion.dancer}" if motion.dancer else self.name for motion in self.motions)


def make_take(name: str, motions: Sequence[ModelMotion]) -> Take:
    """Puts the dancers of one take together.

    Args:
        name: Name of the take.
        motions: 1 to 5 motions.

    Returns:
        The take.

    Raises:
        ConfigError: If there are none or too many, names are missing or equal, or rates or lengths differ.
    """
    if not 1 <= len(motions) <= MAX_DANCERS:
        raise _refuse(name, f"has {len(motions)} dancers, 1 to {MAX_DANCERS} are allowed")
    dancers = [motion.dancer for motion in motions]
    if len(set(dancers)) != len(dancers) or (len(dancers) > 1 and "" in dancers):
        raise _refuse(name, f"names its dancers {dancers}; the names must differ and not be empty")
    rates, lengths = ({motion.fps for motion in motions}, {len(motion.root_m) for motion in motions})
    if len(rates) > 1 or len(lengths) > 1:
        raise _refuse(name, f"has rates {sorted(rates)} and lengths {sorted(lengths)} frames; they must be equal")
    return Take(name, tuple(motions))


def split_dancers(path: Path, values: NDArray[Any], num_axes: int) -> list[tuple[str, NDArray[Any]]]:
    """Splits the array of a file that may hold several dancers.

    Args:
        path: File, for the error.
        values: [T, ...] of one dancer, or [P, T, ...].
        num_axes: Axes of the array of one dancer.

    Returns:
        Dancer names and their arrays; the name of a single dancer is empty.

    Raises:
        MotionFileError: If there are more than five dancers.
    """
    if values.ndim != num_axes + 1:
        return [("", values)]
    if not 1 <= len(values) <= MAX_DANCERS:
        raise refuse(path, 0, f"has {len(values)} dancers (shape {list(values.shape)}), 1 to {MAX_DANCERS} are read.")
    return [(str(number), dancer) for number, dancer in enumerate(values, 1)]


def _refuse(name: str, message: str) -> ConfigError:
    hint = "Cut the motions of a take to one length and give each dancer a name."
    return ConfigError("TAKE_INVALID", f"Take '{name[:60]}' {message}.", hint)
