"""Puts a recording on our skeleton (``soulstream_engine.motion.skeleton``) by a named joint map.

Global orientations are transferred, relative to a *reference*: the recording's zero pose, or one of its frames. The
reference need not be a T-pose. Trunk, head and collars are taken to be upright in it and the soles flat; limbs and
fingers may point anywhere, because from the direction of every bone of the reference follows how ours is turned into
it. About its own axis a limb is turned so that elbow or knee bend about our hinge; where the hinge is, the motion
shows, else the bend in the reference, else no turn is the best guess. Limbs of ours then point exactly where those of
the source do, whatever joints were merged for them. The pelvis fits hips and lower spine; the root path is scaled by
the leg length. Last, the hands are brought to where they should be (``reach.py``), for which arms turn a little.

Not for frame rates, filters and bad frames (``resample.py``), nor for CMU's Acclaim files in training (``retarget.py``,
which knows what is wrong with their heads and hands). Letters: ``T`` frames. Metres, ``wxyz``, Y up.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.motion import rotations
from soulstream_engine.motion.skeleton import (
    JOINT_INDEX,
    JOINT_NAMES,
    NUM_BODY_JOINTS,
    NUM_JOINTS,
    PARENTS,
    REST_OFFSETS_M,
    local_rotations,
)
from soulstream_training.data.joint_maps import JointMap
from soulstream_training.data.named_source import HIP_CENTRE_M, SIDES, NamedSource, about_x, unit
from soulstream_training.data.reach import reach
from soulstream_training.data.recording import FloatArray, Recording
from soulstream_training.data.retarget import (
    FOREARM_SHARE,
    WRIST_LIMITS_RAD,
    BodyMotion,
    soft_wrist,
    soften_foot,
    steady_head,
)

BENT = 0.3
"""Sine of the bend from which on a limb shows where its hinge is, 17 degrees (ours)."""

MIN_HINGE_FRAMES = 5
"""Bent frames that it takes (ours)."""

STEADY_HINGE = 0.8
"""Length of the mean of hinge directions, 1 if all are the same, below which they show no hinge (ours)."""

STILL_RAD, STILL_S = float(np.radians(0.05)), 8.0
"""Hands whose fingers never turn more against the wrist in so long were not captured (ours)."""

PARALLEL = 1e-9
"""Sine of the angle between directions that are the same, but for rounding (ours)."""

LOOSELY_ZEROED = ("acclaim", "cmu")
"""Maps of recordings whose head and hand markers were often zeroed badly; see ``retarget.py`` for what is done."""

_FINGERS = ("index", "middle", "pinky", "ring", "thumb")
_X, _Y, _Z = np.eye(3)
_HINGES = {"knee": (_X, _X), "elbow": (-_Y, _Y)}  # left, right: upper bone x lower bone when bent


def retarget_named(
    recording: Recording, joint_map: JointMap, *, rest_frame: int | None = None
) -> tuple[BodyMotion, NDArray[np.bool_]]:
    """Transfers a recording to our skeleton.

    Joints that the map misses stay at rest against their parent.

    Args:
        recording: The recording, T frames.
        joint_map: Map fitted to its joints (``find_map``).
        rest_frame: Frame to be the reference, standing upright on flat feet; the zero pose if ``None``.

    Returns:
        Motion of T frames at the source's rate, with 52 joints if any finger was captured, else 22; and [52] which
        joints were captured.

    Raises:
        MotionFileError: If a bone of a limb has no length.
        ConfigError: If the reference is not upright, or there is no such frame.
    """
    source = NamedSource(recording, joint_map, rest_frame)
    source.check_arms()
    captured = np.array([source.has(name) for name in JOINT_NAMES])
    world = np.empty((source.num_frames, NUM_JOINTS, 4))
    world[:, 0] = source.pelvis()
    for name in ("spine1", "spine2", "spine3", "neck", "head", "left_collar", "right_collar"):
        if source.has(name):
            world[:, JOINT_INDEX[name]] = source.rotation(name)
    if joint_map.name in LOOSELY_ZEROED:
        chest, head = JOINT_INDEX["spine3"], JOINT_INDEX["head"]
        world[:, head] = steady_head(world[:, chest], world[:, head])
    for side in SIDES:
        shin = _transfer_limb(source, world, side, ("hip", "knee", "ankle"))
        foot = _foot_frame(source, side, shin)
        for name in (f"{side}_ankle", f"{side}_foot"):
            if source.has(name):
                world[:, JOINT_INDEX[name]] = rotations.multiply(source.rotation(name), foot)
        if joint_map.name in LOOSELY_ZEROED:
            soften_foot(world, side)
        forearm = _transfer_limb(source, world, side, ("shoulder", "elbow", "wrist"))
        hand = _hand_frame(source, side, forearm)
        wrist = f"{side}_wrist"
        world[:, JOINT_INDEX[wrist]] = rotations.multiply(source.rotation(wrist), hand)
        if joint_map.name in LOOSELY_ZEROED:
            _soften_hand(world, JOINT_INDEX[f"{side}_elbow"], JOINT_INDEX[wrist])
        _share_twist(world, JOINT_INDEX[f"{side}_elbow"], JOINT_INDEX[wrist])
        fingers = _transfer_fingers(source, world, side, hand)
        is_long = source.num_frames >= STILL_S * recording.fps
        if fingers and is_long and is_still(world[:, JOINT_INDEX[wrist]], world[:, fingers]):
            captured[fingers] = False
    for joint in np.flatnonzero(~captured).tolist():
        world[:, joint] = world[:, PARENTS[joint]]

    root_m = np.asarray(source.hip_centre_m() * source.scale - rotations.rotate(world[:, 0], HIP_CENTRE_M))
    reach(source, root_m, world)
    num_joints = NUM_JOINTS if captured[NUM_BODY_JOINTS:].any() else NUM_BODY_JOINTS
    local = rotations.continuous(local_rotations(world[:, :num_joints]))
    return BodyMotion(np.asarray(root_m, dtype=np.float64), np.asarray(local, dtype=np.float64)), captured


def _transfer_limb(source: NamedSource, world: FloatArray, side: str, parts: tuple[str, str, str]) -> FloatArray:
    """Fills in the two bones of a limb; gives the rotation [4] of the lower one to the reference without any twist."""
    upper, lower, end = (f"{side}_{part}" for part in parts)
    ours = [unit(_rest_m(name)) for name in (lower, end)]
    now = [unit(source.position_m(b) - source.position_m(a)) for a, b in ((upper, lower), (lower, end))]
    then = [source.rest_direction(name, direction) for name, direction in zip((upper, lower), now, strict=True)]
    thigh = np.asarray(rotations.between(ours[0], then[0]))
    onward = rotations.between(rotations.rotate(thigh, ours[1]), then[1])
    shin = np.asarray(rotations.multiply(onward, thigh), dtype=np.float64)
    our_hinge = _HINGES[parts[1]][SIDES.index(side)]
    hinge = _find_hinge(source.rotation(upper), now, then)
    if hinge is None:
        hinge = np.asarray(rotations.rotate(thigh, our_hinge))
    for name, own, theirs, direction in zip((upper, lower), ours, then, now, strict=True):
        frame = rotations.multiply(_frame(theirs, hinge), rotations.conjugate(_frame(own, our_hinge)))
        turned = rotations.multiply(source.rotation(name), frame)
        # Nothing for a rigid bone; where several joints of the source make one of ours, what they add up to.
        rest = rotations.between(rotations.rotate(turned, own), direction)
        world[:, JOINT_INDEX[name]] = rotations.multiply(rest, turned)
    return shin


def _find_hinge(upper_wxyz: FloatArray, now: list[FloatArray], then: list[FloatArray]) -> FloatArray | None:
    """Unit axis [3] in the reference about which a limb bends: upper bone x lower bone; none if it never shows."""
    across = np.cross(now[0], now[1])
    bent = np.linalg.norm(across, axis=-1) > BENT
    if np.count_nonzero(bent) >= MIN_HINGE_FRAMES:
        seen = rotations.rotate(rotations.conjugate(upper_wxyz[bent]), unit(across[bent]))
        mean = np.asarray(seen).mean(axis=0)
        if np.linalg.norm(mean) > STEADY_HINGE:
            return unit(mean)
    rest = np.asarray(np.cross(then[0], then[1]), dtype=np.float64)
    return unit(rest) if np.linalg.norm(rest) > BENT else None


def _foot_frame(source: NamedSource, side: str, shin: FloatArray) -> FloatArray:
    """Rotation [4] from our foot and toes to the reference: rolled as the shin is, turned out as the toes, sole flat.

    The slope of the foot bone does not count: it says how high the heel or the joint is, not how the sole lies.
    """
    ankle = f"{side}_ankle"
    toes = source.position_m(f"{side}_foot") if source.has(f"{side}_foot") else source.tip_m(ankle)
    frame = shin
    if toes is not None:
        there = source.rest_direction(ankle, toes - source.position_m(ankle))
        x, _, z = rotations.rotate(rotations.conjugate(shin), there)
        frame = np.asarray(rotations.multiply(shin, rotations.yaw(np.arctan2(x, z))))
    slope = np.arctan2(rotations.rotate(frame, _Z)[1], rotations.rotate(frame, _Y)[1])
    return np.asarray(rotations.multiply(frame, about_x(slope)))


def _hand_frame(source: NamedSource, side: str, forearm: FloatArray) -> FloatArray:
    """Rotation [4] from our flat hand to the reference: from the knuckles, or straight on from the forearm."""
    wrist, index, middle, pinky = (f"{side}_{part}" for part in ("wrist", "index1", "middle1", "pinky1"))
    if not all(map(source.has, (index, middle, pinky))):
        return forearm
    along = source.rest_direction(wrist, source.position_m(middle) - source.position_m(wrist))
    across = source.rest_direction(wrist, source.position_m(index) - source.position_m(pinky))
    ours = _frame(unit(_rest_m(middle)), _rest_m(index) - _rest_m(pinky))
    return np.asarray(rotations.multiply(_frame(along, across), rotations.conjugate(ours)))


def _transfer_fingers(source: NamedSource, world: FloatArray, side: str, hand: FloatArray) -> list[int]:
    """Fills in the fingers that the source has; gives their joints."""
    filled: list[int] = []
    for finger in (finger for finger in _FINGERS if source.has(f"{side}_{finger}1")):
        names = [f"{side}_{finger}{segment}" for segment in (1, 2, 3)]
        ends = [source.position_m(names[1]), source.position_m(names[2]), source.tip_m(names[2])]
        ours = [_rest_m(names[1]), _rest_m(names[2]), _rest_m(names[2])]
        frame = hand
        for name, own, end in zip(names, ours, ends, strict=True):
            if end is not None:
                there = source.rest_direction(name, end - source.position_m(name))
                frame = np.asarray(rotations.multiply(rotations.between(rotations.rotate(frame, own), there), frame))
            world[:, JOINT_INDEX[name]] = rotations.multiply(source.rotation(name), frame)
            filled.append(JOINT_INDEX[name])
    return filled


def is_still(wrist: FloatArray, fingers: FloatArray) -> bool:
    """Whether fingers never turn against the wrist.

    Args:
        wrist: [T, 4] rotations.
        fingers: [T, F, 4] rotations against the same as those of the wrist.

    Returns:
        True if none turns by ``STILL_RAD`` from where it is in the first frame.
    """
    relative = rotations.multiply(rotations.conjugate(wrist)[:, None], fingers)
    return bool(np.max(rotations.angle_between(relative[:1], relative)) < STILL_RAD)


def _soften_hand(world: FloatArray, elbow: int, wrist: int) -> None:
    """Takes the zero error out of a hand and keeps it in the human range."""
    relative = rotations.multiply(rotations.conjugate(world[:, elbow]), world[:, wrist])
    twist, swing = soft_wrist(np.asarray(relative, dtype=np.float64))
    world[:, wrist] = rotations.multiply(rotations.multiply(world[:, elbow], about_x(twist)), swing)


def _share_twist(world: FloatArray, elbow: int, wrist: int) -> None:
    """Lets the forearm carry part of the hand's twist, so that the skin at the wrist does not wring.

    Beyond the human range the part shrinks to nothing at half a turn, where the sign of the twist is arbitrary.
    """
    relative = rotations.multiply(rotations.conjugate(world[:, elbow]), world[:, wrist])
    twist = (2.0 * np.arctan2(relative[:, 1], relative[:, 0]) + np.pi) % (2 * np.pi) - np.pi
    limit = float(WRIST_LIMITS_RAD[0])
    size = np.minimum(np.abs(twist), limit * (np.pi - np.abs(twist)) / (np.pi - limit))
    world[:, elbow] = rotations.multiply(world[:, elbow], about_x(np.sign(twist) * size * FOREARM_SHARE))


def _rest_m(name: str) -> FloatArray:
    """Our rest offset [3] of a joint from its parent."""
    return np.asarray(REST_OFFSETS_M[JOINT_INDEX[name]], dtype=np.float64)


def _frame(along: FloatArray, across: FloatArray) -> FloatArray:
    """Rotation [4] whose first axis is ``along`` [3], its second the part of ``across`` [3] at right angles to it.

    Where one of them, or that part, is nothing, any direction stands in: nothing shows how the bone is turned.
    """
    x = unit(along) if np.linalg.norm(along) > PARALLEL else _X
    y = across - x * (across @ x)
    if np.linalg.norm(y) <= PARALLEL * np.linalg.norm(across):
        y = np.cross(x, np.eye(3)[np.argmin(np.abs(x))])
    y = unit(y)
    return np.asarray(rotations.from_matrix(np.stack([x, y, np.cross(x, y)], axis=-1)))
