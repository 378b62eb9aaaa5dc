"""What a judged table is made of, and what a reader is told of its scores.

Not for: measuring (``judge``), the page (``judge_report``).

Letters: B beats of the music, K beats of the motion.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soulstream_training.data.kinematic_beats import kinematic_beats

from .dance_take import DanceTake
from .intervals import Interval
from .judge import BEAT_METRICS, USED_P
from .judge_systems import REFERENCES
from .systems import SystemTakes

F64 = NDArray[np.float64]

GROUPS = ("Time", "Space and diversity", "Body", "Face", "Music and motion", "Other")

BETTER = {
    "more": ("↑", "more is better"),
    "less": ("↓", "less is better"),
    "real": ("≈", "near the real dances is better"),
    "zero": ("→0", "near 0 is better"),
    "": ("", ""),
}
"""Which way a score is better: its sign, and in words."""


@dataclass(frozen=True, slots=True)
class Metric:
    """What a reader is told of a score; ``better`` is of ``BETTER``."""

    title: str
    group: str
    better: str
    meaning: str


_TIME, _SPACE, _BODY, _FACE, _MUSIC, _OTHER = GROUPS
METRICS = {
    "bas": Metric("BAS", _TIME, "more", "how near the body comes to rest to each beat of the music"),
    "bas_reverse": Metric("BAS reverse", _TIME, "more", "how near a beat of the music is to each rest"),
    "beat_f1": Metric("Beat F1", _TIME, "more", "of beats and rests that meet within 70 ms"),
    "shift_p": Metric("Shift p", _TIME, "less", "share of random shifts in time that fit the beats as well"),
    "beats_per_beat": Metric("Rests a beat", _TIME, "real", "rests for each beat of the music"),
    "offset_ms": Metric("Lateness, ms", _TIME, "zero", "median, against the nearest half beat"),
    "in_sync": Metric("In sync", _TIME, "more", "share of beats with a rest of their own 125 ms early to 45 ms late"),
    "in_sync_shifted": Metric("In sync, shifted", _TIME, "real", "the same of the dance moved in time: by chance"),
    "tempo_error": Metric("Tempo error", _TIME, "less", "of the motion's own tempo, octaves apart; by chance 0.2"),
    "fid_k": Metric("FID kinetic", _SPACE, "less", "Fréchet distance to real dances by speed and effort"),
    "fid_g": Metric("FID geometric", _SPACE, "less", "the same by poses"),
    "fid_latent": Metric("FID latent", _SPACE, "less", "the same by latents of the retrieval model"),
    "div_k": Metric("Diversity kinetic", _SPACE, "real", "mean distance of two stretches by speed and effort"),
    "div_g": Metric("Diversity geometric", _SPACE, "real", "the same by poses"),
    "div_latent": Metric("Diversity latent", _SPACE, "real", "the same by latents of the retrieval model"),
    "multimodality": Metric("Multimodality", _SPACE, "real", "mean distance of two dances to one song"),
    "pfc": Metric("PFC", _BODY, "less", "physical foot contact: acceleration while both feet slide"),
    "foot_slide": Metric("Foot slide, m/s", _BODY, "less", "speed of planted feet"),
    "planted": Metric("Planted", _BODY, "real", "share of the steps of a foot on the floor"),
    "jerk": Metric("Jerk, m/s³", _BODY, "real", "trembling where there is more, stiffness where there is less"),
    "boundary_jerk": Metric(
        "Jerk at seams", _BODY, "less", "over that elsewhere; 1 where seams do not show; every 5 s if there are none"
    ),
    "range_of_motion": Metric("Range of motion, m", _BODY, "real", "mean extent of a joint around the body"),
    "face_range": Metric("Face range", _FACE, "real", "mean range of a shape of the face"),
    "blinks_a_minute": Metric("Blinks a minute", _FACE, "real", "of both eyes"),
    "mmr_ms": Metric(
        "MMR-MS", _MUSIC, "less", "distance of motion and music, second by second, by the retrieval model"
    ),
}
"""Every score of ``judge.table_row`` in the order of the page; one that is not here is of the group ``Other``."""

MAIN_METRICS = (
    "bas", "beat_f1", "tempo_error", "beats_per_beat", "fid_k", "fid_g", "div_k", "div_g", "pfc", "foot_slide", "jerk",
    "mmr_ms",
)  # fmt: skip
"""Scores that are drawn as bars."""


def metric_of(name: str) -> Metric:
    """What a reader is told of a score."""
    return METRICS.get(name, Metric(name, _OTHER, "", ""))


def score_text(score: Interval) -> tuple[str, str, str]:
    """Value and ends of an interval, all with the decimals that give the value three digits, or a wide interval two."""
    size = max(abs(score.value), abs(score.low) / 10.0, abs(score.high) / 10.0)
    decimals = min(max(2 - int(np.floor(np.log10(size))), 0), 4) if size > 0.0 else 1
    value, low, high = (f"{number:,.{decimals}f}" for number in (score.value, score.low, score.high))
    return value, low, high


def beat_offsets(take: DanceTake, beats_s: NDArray[np.floating]) -> F64:
    """Where in the beat a dance rests.

    Args:
        take: The dance.
        beats_s: [B] beats of its song, seconds, increasing, B >= 2.

    Returns:
        [K] beats from the nearest beat of the music, -0.5..0.5, late is positive; of the rests between its first and
        last beat.
    """
    motion_s = kinematic_beats(take.joints_m)
    motion_s = motion_s[(motion_s >= beats_s[0]) & (motion_s <= beats_s[-1])]
    beats = np.interp(motion_s, beats_s, np.arange(len(beats_s), dtype=np.float64))
    return np.asarray(beats - np.round(beats), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class JudgedTable:
    """A table and what it was made of.

    Attributes:
        systems: In the order of the page.
        rows: Scores by system, as ``judge.table_row`` gives them.
        beat_p: Chance of the ceiling above the floor, by metric (``judge.chance_of``).
        about: ``commit``, ``weights`` and ``configs``, each by system or one for all; and anything else, such as
            ``date``, ``songs``, ``seconds`` and ``machine`` (what it is, not how it is called), shown as text.
        references: Systems that do not compete, and whether each is a ``ceiling`` or a ``floor``.
    """

    systems: list[SystemTakes]
    rows: Mapping[str, Mapping[str, Interval]]
    beat_p: Mapping[str, float]
    about: Mapping[str, Any]
    references: Mapping[str, str] = field(default_factory=lambda: dict(REFERENCES))

    def __post_init__(self) -> None:
        wrong = [name for name in self.names if self.names.count(name) > 1 or name not in self.rows]
        wrong += [system.name for system in self.systems if not system.takes]
        if not self.systems or wrong:
            raise ValueError(f"{len(self.systems)} systems, of which {wrong} come twice, have no row or have no dance")

    @property
    def names(self) -> list[str]:
        """Of the systems."""
        return [system.name for system in self.systems]

    @cached_property
    def offsets(self) -> dict[str, F64]:
        """Where in the beat each system rests: [K] of all of its dances (``beat_offsets``)."""
        return {s.name: np.concatenate([beat_offsets(*judged) for judged in s.takes]) for s in self.systems}

    def named(self, role: str) -> list[str]:
        """Systems that are ``ceiling`` or ``floor``."""
        return [name for name in self.names if self.references.get(name) == role]

    def is_used(self, metric: str) -> bool:
        """Whether it is no beat metric, or one that tells the ceiling from the floor."""
        tested = metric in BEAT_METRICS or metric in self.beat_p
        return not tested or self.beat_p.get(metric, 1.0) < USED_P

    def goal(self, metric: str) -> float | None:
        """What the first ceiling scores."""
        return next(
            (self.rows[name][metric].value for name in self.named("ceiling") if metric in self.rows[name]), None
        )

    def best(self, metric: str) -> set[str]:
        """The systems that compete and score best; none where nobody can say, or the metric is not used."""
        better, goal = metric_of(metric).better, self.goal(metric)
        if not self.is_used(metric) or not better or (better == "real" and goal is None):
            return set()
        far: dict[str, Callable[[float], float]] = {
            "more": lambda value: -value,
            "less": lambda value: value,
            "real": lambda value: abs(value - (goal or 0.0)),
            "zero": abs,
        }
        rows = {name: self.rows[name] for name in self.names if name not in self.references}
        scores = {name: far[better](row[metric].value) for name, row in rows.items() if metric in row}
        return {name for name, score in scores.items() if score <= min(scores.values()) + 1e-12}
