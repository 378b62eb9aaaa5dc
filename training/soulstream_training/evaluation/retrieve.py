"""Which dances of a store go with five seconds of music, and which do not, by the retrieval model (MMR).

Nothing is judged here: any clip may be found, those included that the model learned from. Not for: scores of the model
(``retrieval``), the picture of what was found (``retrieve_picture``).

Letters: N windows, T frames, D motion columns, F music columns, W width of a latent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.clock import FPS, SAMPLES_PER_FRAME
from soulstream_engine.errors import ConfigError
from soulstream_engine.features.extractor import extract
from soulstream_engine.motion.faces import FACE_SPACES
from soulstream_engine.motion.representation import BODY_DIM, FACE_START
from soulstream_training.data.store import Clip, ClipEntry, load_clip
from soulstream_training.evaluation.mmr_latents import WINDOW_FRAMES, cosine, encode
from soulstream_training.models.mmr import Mmr
from soulstream_training.recipes.bent_motion import danced
from soulstream_training.recipes.motion_rows import clip_stretches

F32 = NDArray[np.float32]

STRIDE_FRAMES = 30
"""From one window of a clip to the next (ours)."""

WINDOW_S = WINDOW_FRAMES / FPS


@dataclass(frozen=True, slots=True)
class Query:
    """The music that asks: feature ``rows`` [T, F] float32, heard from ``start_s`` of the piece on."""

    rows: F32
    start_s: float


@dataclass(frozen=True, slots=True)
class Dance:
    """A clip by its window that goes best with the music.

    Attributes:
        entry: The clip.
        first_frame: Where in the clip the window begins.
        score: Cosine of its latent and that of the music.
        rows: [T, D] float32 of the window.
        rank: Place among all clips, 1 is the best; 0 before there are ranks.
    """

    entry: ClipEntry
    first_frame: int
    score: float
    rows: F32
    rank: int = 0

    @property
    def start_s(self) -> float:
        """Second of the clip where the window begins."""
        return self.first_frame / FPS


def hear(samples: F32, at_s: float | None = None) -> Query:
    """Five seconds of a piece as the engine hears them, which has heard everything before.

    Args:
        samples: [N] float32 mono at 48 kHz, the piece.
        at_s: Where the five seconds begin; ``None``: so that they are the middle of the piece.

    Returns:
        The rows; they begin at the frame nearest to ``at_s``.

    Raises:
        ConfigError: If the piece is too short, or ends before the five seconds do.
    """
    last = len(samples) // SAMPLES_PER_FRAME - WINDOW_FRAMES
    length_s = len(samples) / SAMPLES_PER_FRAME / FPS
    if last < 0:
        message = f"The piece lasts {length_s:.2f} s, {WINDOW_S:.0f} s of music are needed to ask."
        raise ConfigError("MUSIC_TOO_SHORT", message, "Give a longer piece.")
    if at_s is not None and not 0.0 <= at_s <= last / FPS:
        message = f"{WINDOW_S:.0f} s from {at_s:.2f} s on do not lie in the piece, which lasts {length_s:.2f} s."
        hint = f"Begin them from 0 to {math.floor(100 * last / FPS) / 100:.2f} s with --at."
        raise ConfigError("MUSIC_ENDS_BEFORE", message, hint)
    first = last // 2 if at_s is None else round(at_s * FPS)
    stop = first + WINDOW_FRAMES
    return Query(extract(samples[: stop * SAMPLES_PER_FRAME])[first:], first / FPS)


def find_dances(
    model: Mmr,
    query: Query,
    store: Path,
    entries: Sequence[ClipEntry],
    on_clip: Callable[[], None] = lambda: None,
) -> list[Dance]:
    """Ranks clips by their window that goes best with the music.

    Args:
        model: In evaluation mode; its music encoder reads live features.
        query: The music.
        store: Prepared motion.
        entries: Clips of it to choose from; those without five seconds of clean dance are passed over.
        on_clip: Told after every clip.

    Returns:
        The dances, best first; of equals, the one listed first.

    Raises:
        ConfigError: If nobody dances for five seconds, or a clip does not fit the index or the model.
        BundleError: If a clip's archive is broken.
    """
    asked = encode(model.music, [query.rows])[0]
    columns = motion_columns(model.config.motion_dim)
    found = []
    for entry in entries:
        windows = danced_windows(load_clip(store, entry), columns)
        if windows:
            best, score = best_window(asked, encode(model.motion, [rows for _, rows in windows]))
            first_frame, rows = windows[best]
            found.append(Dance(entry, first_frame, score, rows.copy()))  # a view would keep the whole clip
        on_clip()
    if not found:
        message = f"None of {len(entries)} clips of '{store}' has {WINDOW_S:.0f} s of clean dance."
        raise ConfigError("GALLERY_EMPTY", message, "Name other splits with --splits, or another store with --store.")
    return ranked(found)


def motion_columns(motion_dim: int) -> str:
    """The columns of a model's motion, as ``clip_stretches`` names them.

    Raises:
        ValueError: If no layout has so many.
    """
    layouts = {BODY_DIM: "body", FACE_START: "none"} | {FACE_START + size: name for name, size in FACE_SPACES.items()}
    if motion_dim not in layouts:
        raise ValueError(f"no rows of motion have {motion_dim} columns, but {sorted(layouts)}")
    return layouts[motion_dim]


def danced_windows(clip: Clip, columns: str) -> list[tuple[int, F32]]:
    """Windows of what is danced in the clean stretches of a clip.

    Args:
        clip: Of the store.
        columns: As in ``clip_stretches``.

    Returns:
        For each window its first frame in the clip and its rows [T, D]; none where the dance is shorter.
    """
    found = []
    for stretch in clip_stretches(clip, with_mirror=False, min_rows=WINDOW_FRAMES, columns=columns):
        dance = danced(stretch.rows[:, :BODY_DIM])
        starts = range(dance.start, dance.stop - WINDOW_FRAMES + 1, STRIDE_FRAMES)
        found += [(stretch.first_frame + start, stretch.rows[start : start + WINDOW_FRAMES]) for start in starts]
    return found


def best_window(asked: F32, latents: F32) -> tuple[int, float]:
    """The window [N, W] whose latent is closest to that of the music [W]: its number, and the cosine."""
    scores = cosine(latents, asked[None])
    best = int(np.argmax(scores))
    return best, float(scores[best])


def ranked(dances: Sequence[Dance]) -> list[Dance]:
    """The dances with their ranks, best first."""
    ordered = sorted(dances, key=lambda dance: -dance.score)
    return [replace(dance, rank=number) for number, dance in enumerate(ordered, start=1)]


def both_ends(dances: Sequence[Dance], best: int, worst: int) -> tuple[list[Dance], list[Dance]]:
    """The first and the last of ranked dances.

    Args:
        dances: Best first.
        best: How many of the best, if there are so many.
        worst: How many of the worst; a dance that is among the best is not shown again.

    Returns:
        Best and worst, each in the order of their ranks.
    """
    first = min(best, len(dances))
    return list(dances[:first]), list(dances[max(first, len(dances) - worst) :])
