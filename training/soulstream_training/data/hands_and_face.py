"""Hands and face of a prepared clip: what was captured, and by rule what was not.

What a rule makes is timed by the moments at which the dancer comes to rest. Pairing bends these moments onto the beats
of the music, and hands and face with them, so an accent of the hands stays one of the music. Every frame that nobody
captured is flagged, to be learned with a low weight and never to be judged by accuracy.

Not for the rules themselves (``synthetic_hands``, ``synthetic_face``) or for poses (``hand_library``).

Letters: N frames at 30 fps, M of them with a captured face, K rests, F face values.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.clock import FPS
from soulstream_engine.errors import ConfigError
from soulstream_engine.motion.faces import face_dim
from soulstream_engine.motion.skeleton import NUM_BODY_JOINTS, NUM_JOINTS, forward_kinematics
from soulstream_training.data.clips import ClipRow
from soulstream_training.data.hand_library import HandLibrary
from soulstream_training.data.kinematic_beats import kinematic_beats, mean_speed
from soulstream_training.data.live_link_csv import read_live_link
from soulstream_training.data.resample import low_pass, source_times, whole_rate
from soulstream_training.data.sources import Source
from soulstream_training.data.synthetic_face import make_face
from soulstream_training.data.synthetic_hands import make_hands

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

RULE_SPACE = "arkit52"
"""Face space that the rule writes."""

STRONG_WINDOW_S = 0.5
"""A rest is as strong as the dancer is fast within this time of it. Source: ours."""


@dataclass(frozen=True, slots=True)
class HandsAndFace:
    """Hands and face of a clip.

    ``finger_wxyz`` [N, 30, 4] float32 parent-local rotations of joints 22..51; ``face`` [N, F] float32; ``synthetic``
    [N, 2] bool, frames whose hands, and whose face, nobody captured; ``hands_are`` and ``face_is`` ``captured`` (at
    least in part), ``rule`` or ``none``.
    """

    finger_wxyz: F32
    face: F32
    synthetic: NDArray[np.bool_]
    hands_are: str
    face_is: str


def complete(
    root_m: F32,
    joint_wxyz: F32,
    face: F32 | None,
    *,
    face_space: str,
    library: HandLibrary,
    generator: np.random.Generator,
) -> HandsAndFace:
    """Fills in what a clip lacks.

    Args:
        root_m: [N, 3] metres.
        joint_wxyz: [N, 22 or 52, 4]; with 52 the fingers were captured.
        face: [M, F] captured face from the first frame on, M may be less than N; ``None`` if there is none.
        face_space: Face space of the set. Only ``arkit52`` has a rule; in others a face without capture stays at rest.
        library: Hand poses.
        generator: Draws everything that is made by rule.

    Returns:
        Hands and face of all N frames.

    Raises:
        ConfigError: If the captured face has another size than the face space.
    """
    num_frames = len(root_m)
    joints_m = np.asarray(forward_kinematics(root_m, joint_wxyz[:, :NUM_BODY_JOINTS]), dtype=np.float32)
    rests_s = kinematic_beats(joints_m)
    synthetic = np.zeros((num_frames, 2), dtype=np.bool_)
    if joint_wxyz.shape[1] == NUM_JOINTS:
        fingers, hands_are = joint_wxyz[:, NUM_BODY_JOINTS:].astype(np.float32), "captured"
    else:
        fingers, synthetic[:, 0] = make_hands(joints_m, rests_s, FPS, library, generator)
        hands_are = "rule"
    size = face_dim(face_space)
    if face is not None and face.shape[1] != size:
        raise ConfigError(
            "FACE_SPACE",
            f"The recorded face has {face.shape[1]} values a frame, face space '{face_space}' has {size}.",
            "Set face_space of the recipe to the space it was recorded in.",
        )
    known = 0 if face is None else min(len(face), num_frames)
    if known == num_frames and face is not None:
        made = face[:num_frames].astype(np.float32)
    else:
        made, synthetic[:, 1] = np.zeros((num_frames, size), dtype=np.float32), True
        if face_space == RULE_SPACE:
            made, _ = make_face(num_frames, FPS, *_dance(joints_m, rests_s), generator)
        if face is not None:
            made[:known], synthetic[:known, 1] = face[:known], False
    face_is = "captured" if known else "rule" if face_space == RULE_SPACE else "none"
    return HandsAndFace(fingers, made, synthetic, hands_are, face_is)


def unused_face(row: ClipRow, source: Source, face_space: str) -> str:
    """The space of a face that came with the motion and does not fit the set; the body is used without it.

    Args:
        row: The clip; a face that it names itself goes before and has to fit.
        source: What was read of it.
        face_space: Of the set.

    Returns:
        The space, or empty if there is no such face.
    """
    has_own = row.face is not None or source.face is None
    fits = source.face_space == face_space or (source.face_space, face_space) == ("flame103", "flame100")
    return "" if has_own or fits else source.face_space


def face_at_30(data_dir: Path, row: ClipRow, source: Source, face_space: str) -> NDArray[np.float32] | None:
    """The captured face of a clip at 30 fps: a recording of its own goes before what the motion file holds.

    Args:
        data_dir: Folder with the recordings.
        row: The clip.
        source: What was read of it.
        face_space: Of ``flame103`` faces, ``flame100`` takes the expressions without the jaw, as the paper does.

    Returns:
        [M, F] float32 from the clip's first frame on, or ``None`` without a captured face that fits.

    Raises:
        MotionFileError: If the recording of the face cannot be used.
    """
    values, fps = source.face, row.true_fps
    if unused_face(row, source, face_space):
        return None
    if row.face is not None:
        take = read_live_link(data_dir / row.face)
        values, fps = take.values, take.fps
    elif source.face_space == "flame103" and face_space == "flame100" and values is not None:
        values = values[:, :100]
    if values is None:
        return None
    fps = whole_rate(fps)
    at = source_times(len(values), fps)
    smooth = low_pass(values, fps) if fps > FPS else values
    return np.stack([np.interp(at, np.arange(len(smooth)), column) for column in smooth.T], axis=1).astype(np.float32)


def _dance(joints_m: F32, rests_s: F64) -> tuple[F64, F64, F64]:
    """Rests [K] in seconds, their strength [K] 0..1, and the energy [N] 0..1 of the dance."""
    pace = mean_speed(joints_m)
    pace = np.append(pace, pace[-1:]) if len(pace) else np.zeros(len(joints_m))
    energy = np.clip(pace / max(float(np.percentile(pace, 95)), 0.5), 0.0, 1.0) if len(pace) else pace
    reach = round(STRONG_WINDOW_S * FPS)
    around = [energy[max(0, frame - reach) : frame + reach + 1].max() for frame in np.round(rests_s * FPS).astype(int)]
    return rests_s, np.array(around, dtype=np.float64), energy
