"""Names: which joints of a recording make each joint of ours, for the skeletons that motion comes in.

A map has *dialects*, because one program writes several skeletons; the first one whose joints are all there is used. A
dialect is written as words in the order of ``_CENTRE`` and ``_SIDE``, with ``{side}`` left, ``{S}`` Left, ``{s}`` l and
``{L}`` L. A word is a joint, or

- ``a@b``: turns as ``a``, is where ``b`` is (three hinges in a row make one joint: the last turns, an earlier one is
  the centre);
- ``a|b`` or ``a|b:0.3``: turns half (30 %) of the way from ``a`` to ``b``;
- ``-``: the skeleton has no such joint; ``?a``: it may have.

Our pelvis is fitted to hips and lower spine, so a skeleton's first spine joint is left out where it has four. Not for
the directions of bones (``named_retarget``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from soulstream_engine.errors import ConfigError
from soulstream_engine.motion.skeleton import JOINT_NAMES, NUM_BODY_JOINTS

_CENTRE = ("pelvis", "spine1", "spine2", "spine3", "neck", "head")
_SIDE = ("hip", "knee", "ankle", "foot", "collar", "shoulder", "elbow", "wrist")
_FINGERS = ("index", "middle", "pinky", "ring", "thumb")
_LETTERS = {"left": {"side": "left", "S": "Left", "s": "l", "L": "L"}}
_LETTERS["right"] = {"side": "right", "S": "Right", "s": "r", "L": "R"}

CORE = ("pelvis", *(f"{side}_{part}" for side in _LETTERS for part in _SIDE if part not in ("foot", "collar")))
"""Joints without which there is no retargeting."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a joint of ours comes from.

    Attributes:
        rotation: Joint of the recording that turns as ours does.
        position: Joint of the recording that is where ours is.
        toward: Second joint that ours turns with in part, or empty.
        share: How far ours turns from the first joint to the second, 0..1.
    """

    rotation: str
    position: str
    toward: str = ""
    share: float = 0.0


@dataclass(frozen=True, slots=True)
class JointMap:
    """A map fitted to the joints of one recording.

    Attributes:
        name: Name of the map.
        sources: Our joints that the recording has, in our order; all of ``CORE`` among them.
        missing: Our joints that it has not.
    """

    name: str
    sources: Mapping[str, Source]
    missing: frozenset[str]


_HUMAN_IK = "{S}UpLeg {S}Leg {S}Foot ?{S}ToeBase {S}Shoulder {S}Arm {S}ForeArm {S}Hand"
_HIERARCHY = "{S}Hip {S}Knee {S}Ankle ?{S}Toe {S}Collar {S}Shoulder {S}Elbow {S}Wrist"
_HUMAN_IK_FINGERS = "{S}HandIndex# {S}HandMiddle# {S}HandPinky# {S}HandRing# {S}HandThumb#"

# Centre, one side, fingers: index middle pinky ring thumb, with the three segments in place of #.
_DIALECTS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "acclaim": (
        (
            "root upperback upperback|thorax thorax lowerneck|upperneck head",
            "{s}femur {s}tibia {s}foot {s}toes {s}clavicle {s}humerus {s}radius {s}hand",
            "",
        ),
    ),
    "cmu": (
        ("Hips Chest Chest|Chest2 Chest2 lowerneck|Neck Head", _HIERARCHY.replace("{S}Wrist", "{s}hand@{S}Wrist"), ""),
        (
            "Hips Spine Spine|Spine1 Spine1 Neck|Neck1 Head",
            _HUMAN_IK.replace("{S}Hand", "{S}FingerBase@{S}Hand"),
            "",
        ),
        ("Hips Spine Spine1 Spine2 Neck Head", _HUMAN_IK, ""),
    ),
    "mixamo": (("Hips Spine Spine1 Spine2 Neck Head", _HUMAN_IK, _HUMAN_IK_FINGERS),),
    "rokoko": (
        (
            "Hips Spine2 Spine3 Spine4 Neck Head",
            "{S}Thigh {S}Shin {S}Foot ?{S}Toe {S}Shoulder {S}Arm {S}ForeArm {S}Hand",
            "{S}Finger2+ {S}Finger3+ {S}Finger5+ {S}Finger4+ {S}Finger1+",
        ),
        ("Hips Spine Spine1 Spine2 Neck Head", _HUMAN_IK, _HUMAN_IK_FINGERS),
    ),
    "xsens": (
        ("Hips Chest2 Chest3 Chest4 Neck Head", _HIERARCHY, ""),
        (
            "Pelvis L3 T12 T8 Neck Head",
            "{S}UpperLeg {S}LowerLeg {S}Foot ?{S}Toe {S}Shoulder {S}UpperArm {S}ForeArm {S}Hand",
            "{S}Second% {S}Third% {S}Fifth% {S}Fourth% {S}First%",
        ),
    ),
    "perception_neuron": (
        ("Hips Spine1 Spine2 Spine3 Neck Head", _HUMAN_IK, _HUMAN_IK_FINGERS),
        ("Hips Spine Spine1 Spine2 Neck|Neck1 Head", _HUMAN_IK, _HUMAN_IK_FINGERS),
    ),
    "smplx": (
        (
            " ".join(_CENTRE),
            " ".join(f"{{side}}_{part}" for part in _SIDE),
            " ".join(f"{{side}}_{finger}#" for finger in _FINGERS),
        ),
        (
            "Pelvis Spine1 Spine2 Spine3 Neck Head",
            "{L}_Hip {L}_Knee {L}_Ankle ?{L}_Foot {L}_Collar {L}_Shoulder {L}_Elbow {L}_Wrist",
            "{L}_Index# {L}_Middle# {L}_Pinky# {L}_Ring# {L}_Thumb#",
        ),
    ),
    "mesh2motion": (
        (
            "pelvis spine_01 spine_02 spine_03 neck_01 head",
            "thigh_{s} calf_{s} foot_{s} ball_{s} clavicle_{s} upperarm_{s} lowerarm_{s} hand_{s}",
            "index_0#_{s} middle_0#_{s} pinky_0#_{s} ring_0#_{s} thumb_0#_{s}",
        ),
    ),
    # The waist's three hinges lie where our spine1 is, so spine1 takes most of the turn.
    "g1": (
        (
            "pelvis pelvis|waist_pitch:0.9@waist_roll pelvis|waist_pitch:0.95@waist_pitch waist_pitch - -",
            "{side}_hip_yaw@{side}_hip_roll {side}_knee {side}_ankle_roll@{side}_ankle_pitch - - "
            "{side}_shoulder_yaw@{side}_shoulder_roll {side}_elbow {side}_wrist_yaw@{side}_wrist_pitch",
            "",
        ),
    ),
}

_SEGMENTS = {
    "#": (("1", "2", "3"), ("1", "2", "3")),
    "+": (("Proximal", "Medial", "Distal"), ("Metacarpal", "Proximal", "Distal")),
    "%": (("PP", "MP", "DP"), ("MC", "PP", "DP")),
}
"""Names of the three segments of a finger and of the thumb, by the letter that stands for them."""

MAP_NAMES = tuple(_DIALECTS)
"""Names of the maps."""


def find_map(name: str, joint_names: Iterable[str]) -> JointMap:
    """Fits a map to the joints of a recording.

    A namespace (``mixamorig:``) before the names does not matter. A finger is taken if all three of its joints are
    there; fingers that are not are missing. Of the body, only what the map says may be missing.

    Args:
        name: One of ``MAP_NAMES``.
        joint_names: Names of the recording's joints.

    Returns:
        The map, with the recording's own names.

    Raises:
        ConfigError: If there is no such map, or the recording lacks joints that each of its dialects needs.
    """
    if name not in _DIALECTS:
        raise ConfigError(
            "JOINT_MAP_UNKNOWN", f"There is no joint map '{name[:40]}'.", f"Choose one of {', '.join(MAP_NAMES)}."
        )
    full_names = {full.rpartition(":")[2]: full for full in joint_names}
    lacking: list[list[str]] = []
    for dialect in _DIALECTS[name]:
        words = _words(*dialect)
        sources, lacks = _fit(words, full_names)
        if not lacks:
            ours = {joint: sources[joint] for joint in JOINT_NAMES if joint in sources}
            return JointMap(name, ours, frozenset(JOINT_NAMES) - frozenset(ours))
        lacking.append(lacks)
    lacks = min(lacking, key=len)
    raise ConfigError(
        "JOINT_MAP_MISFIT",
        f"Map '{name}' needs {len(lacks)} joints that the recording lacks: {', '.join(lacks[:12])}. "
        f"It has {', '.join(sorted(full_names)[:60])}.",
        f"Choose the map of this skeleton, one of {', '.join(MAP_NAMES)}.",
    )


def _words(centre: str, side: str, fingers: str) -> dict[str, str]:
    """Our joints and the words of a dialect for them; fingers only if it has any."""
    words = dict(zip(_CENTRE, centre.split(), strict=True))
    for prefix, letters in _LETTERS.items():
        for part, word in zip(_SIDE, side.split(), strict=True):
            words[f"{prefix}_{part}"] = word.format(**letters)
        for finger, word in zip(_FINGERS, fingers.split(), strict=bool(fingers)):
            sign = next(letter for letter in _SEGMENTS if letter in word)
            for segment, label in enumerate(_SEGMENTS[sign][finger == "thumb"], 1):
                words[f"{prefix}_{finger}{segment}"] = word.format(**letters).replace(sign, label)
    return words


def _fit(words: Mapping[str, str], full_names: Mapping[str, str]) -> tuple[dict[str, Source], list[str]]:
    """Sources of the joints that are there, and names that should be but are not."""
    sources: dict[str, Source] = {}
    lacks: list[str] = []
    for joint, word in words.items():
        turning, _, place = word.removeprefix("?").partition("@")
        first, _, second = turning.partition("|")
        second, _, share = second.partition(":")
        needed = dict.fromkeys(name for name in (first, place, second) if name)
        absent = [needs for needs in needed if needs not in full_names]
        if word == "-" or (absent and word.startswith("?")):
            continue
        if not absent:
            turns, stands, toward = full_names[first], full_names[place or first], full_names.get(second, "")
            sources[joint] = Source(turns, stands, toward, float(share or 0.5) if second else 0.0)
        elif joint in JOINT_NAMES[:NUM_BODY_JOINTS]:
            lacks += absent
    for joint in [joint for joint in sources if joint[:-1].endswith(_FINGERS)]:
        if any(f"{joint[:-1]}{segment}" not in sources for segment in (1, 2, 3)):
            del sources[joint]
    return sources, lacks
