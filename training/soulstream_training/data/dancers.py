"""Several dancers of one file: one ``ModelMotion`` each, told apart by ``dancer``.

A file of one dancer has an empty ``dancer``; those of several are numbered from 1. In the clip table each becomes a
clip of its own, which names the file and the number, and ``partner_id`` names another dancer of the take.
Letters: P dancers, T frames.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from soulstream_training.data.asf import refuse
from soulstream_training.data.clips import MAX_DANCERS


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
