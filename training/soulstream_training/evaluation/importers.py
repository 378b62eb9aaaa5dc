"""Brings the dances of any system to the one form that is judged (``DanceTake``): our joints, 30 fps, metres, Y up.

Where a file holds rotations they are taken over to our skeleton and the joints come from our forward kinematics: the
bone lengths are ours, whoever danced. Where it holds positions alone they are scaled as a whole by the length of the
legs, and the proportions stay the dancer's. The floor is put at y = 0. Rates above 30 are low-passed as our training
data is (``resample.low_pass``, 10 Hz) before frames are left out; nothing else is smoothed, repaired or lifted out of
the floor, because that is what is judged. Our own takes come back as they were written.

Not for: whether a system is causal, how long a listener waits, where it planned anew, or where in the song a dance
begins. The files do not say.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.clock import FPS
from soulstream_engine.errors import ConfigError
from soulstream_engine.motion import rotations
from soulstream_engine.motion.bvh import CM_PER_M
from soulstream_engine.motion.skeleton import (
    JOINT_NAMES,
    NUM_JOINTS,
    REST_OFFSETS_M,
    forward_kinematics,
    local_rotations,
)
from soulstream_training.data.asf import FloatArray, MotionFileError, refuse
from soulstream_training.data.body_model import checked, rate, unit
from soulstream_training.data.bvh import read_bvh
from soulstream_training.data.clip_names import parse_name, read_ignored
from soulstream_training.data.named_retarget import retarget_named
from soulstream_training.data.npy_guard import read_npz
from soulstream_training.data.readers import read_model_motion
from soulstream_training.data.recording import ModelMotion
from soulstream_training.data.resample import MIN_SOURCE_FPS, floor_height, low_pass, source_times, whole_rate
from soulstream_training.data.sources import best_map

from .dance_take import DanceTake
from .published_dances import JointPath, read_bailando, read_edge, read_fact, read_finenet

REST_TOLERANCE_M = 1e-4
"""How far the skeleton of a BVH may be from ours and still be one of our takes (ours; the text is exact to 1e-8 m)."""

_ENDINGS = (".npy", ".npz", ".pkl", ".json", ".bvh", ".gz")
_AIST_SONG = re.compile(r"(?<![A-Za-z0-9])m[A-Z]{2}\d(?![A-Za-z0-9])")
_EDGE_PREFIX = "test_"


@dataclass(frozen=True, slots=True)
class _Dance:
    """A dance at 30 fps, as in ``DanceTake``."""

    joints_m: NDArray[np.floating]
    joint_wxyz: NDArray[np.floating] | None = None
    face: NDArray[np.floating] | None = None


@dataclass(frozen=True, slots=True)
class _Format:
    """``read`` a file, given its frames a second or ``None``; ``pattern`` of the names in a folder."""

    read: Callable[[Path, float | None], _Dance]
    pattern: str


def read_dance(path: Path, format: str, *, song: str | None = None, fps: float | None = None) -> DanceTake:
    """Reads one dance.

    Args:
        path: The file.
        format: One of ``FORMATS``: ``fact``, ``bailando`` and ``edge`` as in ``published_dances``; ``finedance``, the
            array of FineDance or the pickle of FineNet; ``aist++``, the recorded dances; ``bvh``, Y up, with a
            skeleton that a joint map is for; ``take``, what ``soulstream render`` wrote, ``.npz`` or ``.bvh``.
        song: Name of the song; ``None`` takes it from the name of the file (``song_name``).
        fps: Frames a second, over what the file or the format says.

    Returns:
        The dance; 52 joints where fingers are known, else 22; rotations but for ``bailando``, a face for ``.npz``
        takes only.

    Raises:
        ConfigError: If there is no such format.
        MotionFileError: If the file cannot be used, or is shorter than a second; it names the file, what was found and
            what is needed.
    """
    kind = _format(format)
    try:
        dance = kind.read(path, fps)
    except ConfigError as error:
        if path.name in error.message:
            raise
        raise MotionFileError(error.code, f"{path.name}: {error.message}", error.hint) from error
    if len(dance.joints_m) < FPS:
        message = f"has {len(dance.joints_m)} frames at {FPS} a second, at least {FPS} are judged."
        raise refuse(path, 0, message, "Leave it out, or correct its frame rate.")
    return DanceTake(
        song_name(path, format) if song is None else song,
        dance.joints_m.astype(np.float32),
        None if dance.joint_wxyz is None else dance.joint_wxyz.astype(np.float32),
        None if dance.face is None else dance.face.astype(np.float32),
    )


def read_folder(folder: Path, format: str, pattern: str | None = None, *, fps: float | None = None) -> list[DanceTake]:
    """Reads all dances of a folder, in the order of their names.

    One that cannot be read is an error: a system is not judged by the dances that happen to be whole. Motions of AIST++
    that its publisher's ``ignore_list.txt`` names are left out.

    Args:
        folder: The folder.
        format: One of ``FORMATS``.
        pattern: Which names to read, as in a shell; ``None`` takes the usual ending of the format.
        fps: As in ``read_dance``.

    Returns:
        The dances; several may have the same song.

    Raises:
        ConfigError: If there is no such format, or no such file in the folder.
        MotionFileError: As ``read_dance``.
    """
    wanted = _format(format).pattern if pattern is None else pattern
    ignored = read_ignored(folder) if format == "aist++" else frozenset()
    paths = [path for path in sorted(folder.glob(wanted)) if path.is_file() and path.stem not in ignored]
    if not paths:
        message = f"'{folder}' has no file '{wanted}' to read as {format}."
        raise ConfigError("DANCES_MISSING", message, "Check the folder, or give the pattern of its file names.")
    return [read_dance(path, format, fps=fps) for path in paths]


def song_name(path: Path, format: str) -> str:
    """Name of the song that a file was danced to, from the name of the file.

    A music id of AIST++ (``mBR0``) is the song, in any format; of several the last, because FACT names the motion that
    it was started with first, and that may have another. Else the song is the name without its endings and without
    the ``test_`` that EDGE and FineNet write before it, or what a name of FineDance says (``M001`` and ``001z@005`` are
    ``001``).

    Args:
        path: The file.
        format: One of ``FORMATS``.

    Returns:
        The name.
    """
    found: list[str] = _AIST_SONG.findall(path.name)
    if found:
        return found[-1]
    stem = Path(path.name)
    while stem.suffix in _ENDINGS:
        stem = stem.with_suffix("")
    name = stem.name
    if format in ("edge", "finedance"):
        name = name.removeprefix(_EDGE_PREFIX) or name
    return parse_name(name, format).song


def _format(name: str) -> _Format:
    found = _FORMATS.get(name)
    if found is None:
        hint = f"Use one of {', '.join(FORMATS)}."
        raise ConfigError("DANCE_FORMAT_UNKNOWN", f"'{name[:40]}' is no format of dances.", hint)
    return found


def _of_motion(path: Path, motion: ModelMotion) -> _Dance:
    """A motion on our skeleton at 30 fps, on the floor."""
    fps = _usable(path, motion.fps)
    root, wxyz = motion.root_m, motion.joint_wxyz
    if fps > FPS:
        root, wxyz = low_pass(root, fps), np.asarray(rotations.normalize(low_pass(wxyz, fps)))
    before, after, share = _between(len(root), fps)
    root = root[before] + (root[after] - root[before]) * share[:, None]
    turned = rotations.slerp(wxyz[before], wxyz[after], share[:, None])
    return _Dance(_on_floor(forward_kinematics(root, turned)), rotations.continuous(turned))


def _of_positions(path: Path, dance: JointPath) -> _Dance:
    """Positions at 30 fps, on the floor."""
    fps = _usable(path, dance.fps)
    joints = low_pass(dance.joints_m, fps) if fps > FPS else dance.joints_m
    before, after, share = _between(len(joints), fps)
    return _Dance(_on_floor(joints[before] + (joints[after] - joints[before]) * share[:, None, None]))


def _usable(path: Path, fps: float) -> float:
    """The whole rate that a rate stands for, if it is fast enough."""
    if fps < MIN_SOURCE_FPS:
        message = f"runs at {fps} frames a second, at least {MIN_SOURCE_FPS} are needed."
        raise refuse(path, 0, message, "Correct the rate, or leave it out: fast moves are lost in it.")
    return whole_rate(fps)


def _between(num_frames: int, fps: float) -> tuple[NDArray[np.int64], NDArray[np.int64], FloatArray]:
    """For each frame at 30 fps the frames of the source around it, and how far it is from the first to the second."""
    at = source_times(num_frames, fps)
    before = np.floor(at).astype(np.int64)
    return before, np.minimum(before + 1, num_frames - 1), at - before


def _on_floor(joints: NDArray[np.floating]) -> NDArray[np.floating]:
    """World positions [T, J, 3] with the floor at y = 0."""
    return joints - np.array([0.0, floor_height(joints), 0.0])


def _fact(path: Path, fps: float | None) -> _Dance:
    return _of_motion(path, read_fact(path, fps=fps))


def _bailando(path: Path, fps: float | None) -> _Dance:
    return _of_positions(path, read_bailando(path, fps=fps))


def _edge(path: Path, fps: float | None) -> _Dance:
    return _of_motion(path, read_edge(path, fps=fps))


def _finedance(path: Path, fps: float | None) -> _Dance:
    if path.suffix == ".pkl":
        return _of_motion(path, read_finenet(path, fps=fps))
    return _of_motion(path, read_model_motion(path, "finedance", fps=fps)[0])


def _aist(path: Path, fps: float | None) -> _Dance:
    return _of_motion(path, read_model_motion(path, "aist++", fps=fps)[0])


def _bvh(path: Path, fps: float | None) -> _Dance:
    # The unit does not matter: the path is scaled by the legs.
    recording = read_bvh(path, unit_m=1.0 / CM_PER_M, up_axis="Y")
    motion, _ = retarget_named(recording, best_map(recording))
    found = rate(path, recording.fps if fps is None else fps)
    return _of_motion(path, ModelMotion(motion.root_m, motion.joint_wxyz, found))


def _take(path: Path, fps: float | None) -> _Dance:
    """One of our takes as it is: nothing is filtered or moved."""
    dance, found = _bvh_take(path) if path.suffix == ".bvh" else _npz_take(path)
    found = rate(path, found if fps is None else fps)
    if whole_rate(found) != FPS:
        raise refuse(path, 0, f"runs at {found:g} frames a second, takes run at {FPS}.", "Render it anew.")
    return dance


def _npz_take(path: Path) -> tuple[_Dance, float]:
    arrays = read_npz(path, ("joints_m", "joint_wxyz", "face", "fps"))
    missing = [name for name in ("joints_m", "joint_wxyz", "fps") if name not in arrays]
    if missing:
        raise refuse(path, 0, f"lacks {missing}; it has {sorted(arrays)}.", "Use a take of soulstream render.")
    joints = checked(path, "joints_m", arrays["joints_m"], (None, NUM_JOINTS, 3))
    wxyz = unit(path, "joint_wxyz", checked(path, "joint_wxyz", arrays["joint_wxyz"], (len(joints), NUM_JOINTS, 4)))
    face = arrays.get("face")
    if face is not None:
        face = checked(path, "face", face, (len(joints), face.shape[-1] if face.ndim else 0))
    found = checked(path, "fps", arrays["fps"].reshape(-1), (1,)).item()
    return _Dance(joints, wxyz, face), found


def _bvh_take(path: Path) -> tuple[_Dance, float]:
    recording = read_bvh(path, unit_m=1.0 / CM_PER_M, up_axis="Y")
    order = [recording.names.index(name) for name in JOINT_NAMES if name in recording.names]
    offsets = recording.offsets_m[order]
    is_ours = len(order) == NUM_JOINTS and np.abs(offsets - REST_OFFSETS_M).max() <= REST_TOLERANCE_M
    if not is_ours:
        message = f"has {len(recording.names)} joints, {len(order)} of our {NUM_JOINTS}, or bones of other lengths."
        raise refuse(path, 0, message, "Read it with the format bvh.")
    root, wxyz = recording.position_m[:, order[0]], local_rotations(recording.global_wxyz[:, order])
    return _Dance(forward_kinematics(root, wxyz), rotations.continuous(wxyz)), recording.fps


_FORMATS = {
    "fact": _Format(_fact, "*.npy"),
    "bailando": _Format(_bailando, "*.npy"),
    "edge": _Format(_edge, "*.pkl"),
    "finedance": _Format(_finedance, "*.npy"),
    "aist++": _Format(_aist, "*.pkl"),
    "bvh": _Format(_bvh, "*.bvh"),
    "take": _Format(_take, "*.npz"),
}

FORMATS = tuple(_FORMATS)
"""Formats by name."""
