"""One table for any number of systems: every dance measured alike, every number with its interval over songs.

Numbers of a dance (time, feet, smoothness) are averaged over the dances to a song and then over songs. Numbers of a set
(how far from real dances, how diverse) and MMR-MS, which grows with length, are of five-second stretches. A metric of
the beat that cannot tell real dancers from the same out of time, or from one who waits, is measured but not used.
Not for: who dances (``systems``), the report (``judge_report``).

Letters: K stretches, T frames, D motion columns, F music columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.clock import FPS
from soulstream_engine.motion.representation import encode_body
from soulstream_engine.motion.skeleton import NUM_BODY_JOINTS
from soulstream_training.models.mmr import Mmr

from .dance_take import DanceTake
from .expression import expression_statistics
from .frechet import diversity, frechet_distance, multimodality, normalised
from .geometric import geometric_features
from .intervals import Interval, bootstrap, bootstrap_sets
from .kinetic import kinetic_features
from .mmr_latents import encode
from .mmr_ms import dance_ms
from .physics import physics_row
from .systems import SystemTakes
from .timing import timing_row

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

STRETCH_FRAMES = 5 * FPS
"""What a set is made of (ours; a window of the retrieval model)."""

BEAT_METRICS = {"bas": True, "bas_reverse": True, "beat_f1": True, "shift_p": False, "mmr_ms": False}
"""Metrics of motion and music together, and whether more is better."""

USED_P = 0.01
"""Such a metric is used if the ceiling is above every floor of it with a probability of chance below this."""

PERMUTATIONS = 10_000


@dataclass(frozen=True, slots=True)
class Measured:
    """A system's numbers before they are averaged.

    ``numbers``: metric to song to the values of its dances; ``stretches``: space (``kinetic``, ``geometric``,
    ``latent``) to song to features [K, ...] of its stretches; ``dances``: song to kinetic features of whole dances.
    """

    name: str
    numbers: dict[str, dict[str, list[float]]]
    stretches: dict[str, dict[str, list[F64]]]
    dances: dict[str, list[F64]]


def measure(
    system: SystemTakes,
    mmr: Mmr | None = None,
    on_take: Callable[[], None] = lambda: None,
) -> Measured:
    """Every dance of a system.

    Args:
        system: Its dances.
        mmr: Retrieval model of the body for MMR-MS and the latent space; ``None`` leaves them out.
        on_take: Called after every dance, for progress.

    Raises:
        ValueError: If the system has no dance.
    """
    if not system.takes:
        raise ValueError(f"'{system.name}' has no dance; leave it out or give it songs")
    numbers: dict[str, dict[str, list[float]]] = {}
    stretches: dict[str, dict[str, list[F64]]] = {"kinetic": {}, "geometric": {}}
    dances: dict[str, list[F64]] = {}
    if mmr is not None:
        stretches["latent"] = {}
    for take, beats_s in system.takes:
        for name, value in _numbers(take, beats_s, mmr).items():
            if value is not None:
                numbers.setdefault(name, {}).setdefault(take.song, []).append(float(value))
        dances.setdefault(take.song, []).append(kinetic_features(take.joints_m))
        for space, features in _stretches(take, mmr).items():
            stretches[space].setdefault(take.song, []).extend(features)
        on_take()
    stretches = {space: songs for space, songs in stretches.items() if any(songs.values())}
    return Measured(system.name, numbers, stretches, dances)


def _numbers(take: DanceTake, beats_s: F64, mmr: Mmr | None) -> dict[str, float | None]:
    if len(take.edges) == 0:  # seams that are none: what the ratio is where nothing begins
        take = replace(take, edges=np.arange(STRETCH_FRAMES, len(take.joints_m), STRETCH_FRAMES))
    time, body = timing_row(take, beats_s), physics_row(take)
    found: dict[str, float | None] = {
        "bas": time.bas,
        "bas_reverse": time.reverse,
        "beat_f1": time.f1,
        "beats_per_beat": time.density,
        "shift_p": time.shift_p,
        "offset_ms": time.median_offset_ms,
        "in_sync": time.in_sync,
        "in_sync_shifted": time.in_sync_shifted,
        "tempo_error": time.tempo_error,
        "pfc": body.pfc,
        "foot_slide": body.foot_slide_m_s,
        "planted": body.planted_share,
        "jerk": body.jerk_mps3,
        "boundary_jerk": body.boundary_jerk_ratio,
        "range_of_motion": body.range_of_motion_m,
    }
    if take.face is not None and take.face.shape[1] == 52:
        face = expression_statistics(take.face)
        found |= {"face_range": face.mean_range, "blinks_a_minute": face.blinks_a_minute}
    rows = _rows(take)
    if mmr is not None and take.music is not None and rows is not None:
        pieces = [slice(start, start + STRETCH_FRAMES) for start in _starts(min(len(rows), len(take.music)))]
        if pieces:
            found["mmr_ms"] = float(np.mean([dance_ms(mmr, rows[piece], take.music[piece]) for piece in pieces]))
    return found


def _rows(take: DanceTake) -> F32 | None:
    """Motion rows [T, D] of a dance that has rotations; the last frame stands still, because a row needs the next."""
    if take.joint_wxyz is None:
        return None
    joints = take.joint_wxyz[:, :NUM_BODY_JOINTS]
    root = take.joints_m[:, 0]
    return encode_body(np.concatenate([root, root[-1:]]), np.concatenate([joints, joints[-1:]]))


def _starts(num_frames: int) -> range:
    """First frames of the whole stretches of a dance."""
    return range(0, num_frames - STRETCH_FRAMES + 1, STRETCH_FRAMES)


def _stretches(take: DanceTake, mmr: Mmr | None) -> dict[str, list[F64]]:
    starts = _starts(len(take.joints_m))
    pieces = [take.joints_m[start : start + STRETCH_FRAMES] for start in starts]
    found = {
        "kinetic": [kinetic_features(piece) for piece in pieces],
        "geometric": [geometric_features(piece) for piece in pieces],
    }
    rows = _rows(take)
    if mmr is not None and rows is not None:
        windows = [rows[start : start + STRETCH_FRAMES] for start in starts]
        found["latent"] = list(encode(mmr.motion, windows).astype(np.float64)) if windows else []
    return found


def table_row(measured: Measured, real: Measured, seed: int = 0) -> dict[str, Interval]:
    """A system's row of the table.

    Args:
        measured: The system.
        real: Real dances that sets are compared with.
        seed: Of the resamples.

    Returns:
        Metric to its value and 95 % interval over songs. ``fid_k fid_g fid_latent`` and ``div_k div_g div_latent`` are
        of features normalised by the real ones; ``multimodality`` is missing where a song was danced to only once.
    """
    row = {}
    for name, values in measured.numbers.items():
        row[name] = bootstrap({song: [float(np.mean(found))] for song, found in values.items()}, seed=seed)
    for space, short in (("kinetic", "k"), ("geometric", "g"), ("latent", "latent")):
        if space not in measured.stretches or space not in real.stretches:
            continue
        truth = _stacked(real.stretches[space])
        songs = {song: list(normalised(truth, np.stack(f))[1]) for song, f in measured.stretches[space].items() if f}
        reference = normalised(truth, truth)[0]
        row[f"fid_{short}"] = bootstrap_sets(songs, partial(_distance, reference), seed=seed)
        row[f"div_{short}"] = bootstrap_sets(songs, _diversity, seed=seed)
        if space == "kinetic" and all(len(dances) > 1 for dances in measured.dances.values()):
            whole = {song: [normalised(truth, np.stack(dances))[1]] for song, dances in measured.dances.items()}
            row["multimodality"] = bootstrap_sets(whole, multimodality, seed=seed)
    return row


def _distance(reference: F64, items: list[F64]) -> float:
    return frechet_distance(reference, np.stack(items))


def _diversity(items: list[F64]) -> float:
    return diversity(np.stack(items))


def _stacked(songs: Mapping[str, Sequence[F64]]) -> F64:
    return np.stack([item for items in songs.values() for item in items])


def chance_of(real: Measured, floor: Measured, metric: str, seed: int = 0) -> float:
    """How likely the ceiling is as far above a floor by chance: a one-sided permutation test over songs.

    Args:
        real: Real dancers on music that fits them.
        floor: Who cannot be in time; paired by song where the songs are the same.
        metric: Of ``BEAT_METRICS``.
        seed: Of the permutations.

    Raises:
        ValueError: If one of them has no song with this metric.
    """
    sign = 1.0 if BEAT_METRICS[metric] else -1.0
    ours, theirs = (
        {song: sign * float(np.mean(values)) for song, values in measured.numbers.get(metric, {}).items()}
        for measured in (real, floor)
    )
    if not ours or not theirs:
        raise ValueError(
            f"'{real.name}' has {metric} for {len(ours)} songs, '{floor.name}' for {len(theirs)}; both need one"
        )
    generator = np.random.default_rng(seed)
    songs = sorted(ours.keys() & theirs.keys())
    if songs:
        ahead = np.array([ours[song] - theirs[song] for song in songs])
        drawn = (generator.choice([-1.0, 1.0], size=(PERMUTATIONS, len(songs))) * ahead).mean(1)
        found = ahead.mean()
    else:
        everyone = np.array([*ours.values(), *theirs.values()])
        shuffled = generator.permuted(np.tile(everyone, (PERMUTATIONS, 1)), axis=1)
        drawn = shuffled[:, : len(ours)].mean(1) - shuffled[:, len(ours) :].mean(1)
        found = everyone[: len(ours)].mean() - everyone[len(ours) :].mean()
    return float((1 + np.sum(drawn >= found - 1e-12)) / (PERMUTATIONS + 1))


def to_json(row: Mapping[str, Interval]) -> dict[str, dict[str, float]]:
    """A row as ``{metric: {value, low, high}}``, rounded to five digits."""
    return {name: {key: float(f"{value:.5g}") for key, value in asdict(found).items()} for name, found in row.items()}
