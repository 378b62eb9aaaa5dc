"""One way to read any clip of the table: its format decides which reader, what comes out is always on our skeleton.

Not for frame rates, filters and floors (``resample``), nor for a whole folder (``prepare``).

Letters: T frames at the source's rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.errors import ConfigError
from soulstream_engine.motion import rotations
from soulstream_engine.motion.skeleton import CONTACT_JOINTS, JOINT_NAMES, NUM_BODY_JOINTS, NUM_JOINTS
from soulstream_training.data.acclaim_recording import recording_of_acclaim
from soulstream_training.data.amc import read_amc
from soulstream_training.data.asf import FloatArray, MotionFileError, forward_kinematics, read_asf
from soulstream_training.data.bvh import read_bvh
from soulstream_training.data.clips import ClipRow
from soulstream_training.data.g1 import read_g1
from soulstream_training.data.joint_maps import MAP_NAMES, JointMap, find_map
from soulstream_training.data.named_retarget import STILL_RAD, is_still, retarget_named
from soulstream_training.data.named_source import SIDES, NamedSource
from soulstream_training.data.readers import MODEL_FORMATS, read_model_motion
from soulstream_training.data.recording import Recording
from soulstream_training.data.retarget import BodyMotion, retarget, unfold_legs

CMU_FORMAT, BVH_FORMAT, G1_FORMAT = "amc+asf", "bvh", "g1csv"
FORMATS = (CMU_FORMAT, BVH_FORMAT, G1_FORMAT, *MODEL_FORMATS)
"""Formats of the clip table."""


PLACEHOLDER_S = 1.0
"""Hands of a body model that hold exactly still in so long were not captured: its columns are there anyway (ours)."""


@dataclass(frozen=True, slots=True)
class Source:
    """A clip on our skeleton, as it was captured.

    Attributes:
        motion: T frames of 22 or 52 joints.
        captured: [52] which joints were captured; the others follow their parent and are nobody's motion.
        recording: What it was made from, and the map, to compare with; ``None`` for body models.
        joint_map: Its map; ``None`` for body models.
        face: [T, F] captured face in ``face_space``; ``None`` without one.
        face_space: ``arkit52``, ``flame100`` or ``flame103``; empty without a face.
    """

    motion: BodyMotion
    captured: NDArray[np.bool_]
    recording: Recording | None = None
    joint_map: JointMap | None = None
    face: FloatArray | None = None
    face_space: str = ""


def read_source(data_dir: Path, row: ClipRow, *, map_name: str = "", rest_frame: int | None = None) -> Source:
    """Reads one clip.

    Args:
        data_dir: Folder that the table's paths are relative to.
        row: The clip.
        map_name: Joint map of a BVH; the one that fits best if empty.
        rest_frame: Frame of a BVH that stands upright, where its zero pose does not.

    Returns:
        The clip.

    Raises:
        MotionFileError: If a file cannot be used or has not the frames that the table says.
        ConfigError: If the format is unknown or no map fits.
    """
    path = data_dir / row.path
    if row.format == CMU_FORMAT:
        source = _acclaim(data_dir, row)
    elif row.format == BVH_FORMAT:
        recording = read_bvh(path, unit_m=row.unit_m, up_axis=row.up_axis)
        source = _named(recording, best_map(recording, map_name), rest_frame)
    elif row.format == G1_FORMAT:
        recording = read_g1(path, data_dir / skeleton_path(row))
        source = _named(recording, find_map("g1", recording.names), None)
    elif row.format in MODEL_FORMATS:
        source = _model(path, row)
    else:
        known = ", ".join(FORMATS)
        raise ConfigError("MOTION_FORMAT_UNKNOWN", f"{row.clip_id} has format '{row.format}'.", f"Use one of {known}.")
    found = len(source.motion.root_m)
    if found != row.num_frames:
        raise MotionFileError(
            "MOTION_FRAME_COUNT",
            f"{path.name} has {found} frames, the table says {row.num_frames}.",
            "Fetch the file again or correct the table.",
        )
    return source


def best_map(recording: Recording, name: str = "") -> JointMap:
    """The named map, or of those that fit the one that misses the fewest of our joints.

    Raises:
        MotionFileError: If none fits.
        ConfigError: If the named one does not fit.
    """
    if name:
        return find_map(name, recording.names)
    fitting = []
    for candidate in MAP_NAMES:
        try:
            fitting.append(find_map(candidate, recording.names))
        except ConfigError:
            continue
    if not fitting:
        raise MotionFileError(
            "JOINT_MAP_MISFIT",
            f"No joint map fits a recording with the joints {', '.join(recording.names[:40])}.",
            f"Rename the joints to those of one of {', '.join(MAP_NAMES)}.",
        )
    return min(fitting, key=lambda found: len(found.missing))


def skeleton_path(row: ClipRow) -> Path:
    """Path of a clip's skeleton file, relative to the data folder.

    Raises:
        MotionFileError: If the table names none.
    """
    if row.skeleton is None:
        raise MotionFileError(
            "MOTION_SKELETON_MISSING", f"{row.clip_id} has no skeleton.", "Name it in the clip table."
        )
    return Path(row.skeleton)


def inputs_of(data_dir: Path, row: ClipRow) -> list[Path]:
    """Files that a clip is made from."""
    paths = [data_dir / row.path]
    if row.format in (CMU_FORMAT, G1_FORMAT):
        paths.append(data_dir / skeleton_path(row))
    if row.face is not None:
        paths.append(data_dir / row.face)
    return paths


def _model(path: Path, row: ClipRow) -> Source:
    motions = read_model_motion(path, row.format, fps=row.true_fps)
    if not ((row.dancer == 0 and len(motions) == 1) or 1 <= row.dancer <= len(motions)):
        raise MotionFileError(
            "MOTION_DANCERS",
            f"{path.name} holds {len(motions)} dancers, the table asks for number {row.dancer}.",
            "Give each dancer a line of the table with its number, from 1, in the column dancer.",
        )
    motion = motions[max(row.dancer - 1, 0)]
    captured = np.arange(NUM_JOINTS) < motion.joint_wxyz.shape[1]
    for fingers in np.split(np.arange(NUM_BODY_JOINTS, NUM_JOINTS), len(SIDES)) if captured.all() else ():
        captured[fingers] = not _is_placeholder(motion.joint_wxyz[:, fingers], motion.fps)
    num_joints = NUM_JOINTS if captured[NUM_BODY_JOINTS:].any() else NUM_BODY_JOINTS
    body = BodyMotion(motion.root_m, motion.joint_wxyz[:, :num_joints])
    return Source(body, captured, face=motion.face, face_space=motion.face_space)


def _is_placeholder(fingers: FloatArray, fps: float) -> bool:
    """Whether local rotations [T, 15, 4] of a hand only fill a file: all at rest, or never moving in so long."""
    rest = rotations.identity(len(fingers)).astype(np.float64)
    is_at_rest = float(np.max(rotations.angle_between(rest[:, None], fingers))) < STILL_RAD
    return is_at_rest or (len(fingers) >= PLACEHOLDER_S * fps and is_still(rest, fingers))


def _acclaim(data_dir: Path, row: ClipRow) -> Source:
    skeleton = read_asf(data_dir / skeleton_path(row))
    posed = unfold_legs(skeleton, forward_kinematics(skeleton, read_amc(data_dir / row.path, skeleton)))
    captured = np.arange(NUM_JOINTS) < NUM_BODY_JOINTS
    recording = recording_of_acclaim(skeleton, posed, row.true_fps)
    return Source(retarget(skeleton, posed), captured, recording, find_map("acclaim", recording.names))


def _named(recording: Recording, joint_map: JointMap, rest_frame: int | None) -> Source:
    motion, captured = retarget_named(recording, joint_map, rest_frame=rest_frame)
    return Source(motion, captured, recording, joint_map)


def source_feet_m(source: Source) -> FloatArray | None:
    """Where the recording has the feet, scaled to our leg.

    Args:
        source: A clip.

    Returns:
        [T, 4, 3] metres, ``CONTACT_JOINTS``; NaN for joints that were not captured; ``None`` for body models.
    """
    if source.recording is None or source.joint_map is None:
        return None
    theirs = NamedSource(source.recording, source.joint_map)
    feet = np.full((theirs.num_frames, len(CONTACT_JOINTS), 3), np.nan)
    for column, joint in enumerate(CONTACT_JOINTS):
        if theirs.has(JOINT_NAMES[joint]):
            feet[:, column] = theirs.position_m(JOINT_NAMES[joint]) * theirs.scale
    return feet
