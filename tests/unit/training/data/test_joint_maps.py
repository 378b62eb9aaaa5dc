"""Joint maps: every dialect is complete, fingers are optional, anything else that is missing is named."""

from __future__ import annotations

import pytest
from fakes import g1_files

from soulstream_engine.errors import ConfigError
from soulstream_engine.motion.skeleton import JOINT_NAMES, NUM_BODY_JOINTS
from soulstream_training.data.bvh import read_bvh
from soulstream_training.data.joint_maps import _DIALECTS, CORE, MAP_NAMES, Source, _words, find_map

FINGERS = JOINT_NAMES[NUM_BODY_JOINTS:]


def names_of(dialect):
    """All joint names that a dialect speaks of."""
    words = [word.removeprefix("?") for word in _words(*dialect).values() if word != "-"]
    return {part.partition(":")[0] for word in words for half in word.split("@") for part in half.split("|")}


@pytest.mark.parametrize("name", MAP_NAMES)
def test_every_dialect_fits_its_own_names(name):
    for dialect in _DIALECTS[name]:
        found = find_map(name, names_of(dialect))
        assert set(CORE) <= set(found.sources)
        assert set(found.sources) | found.missing == set(JOINT_NAMES)
        assert not set(found.sources) & found.missing
        assert list(found.sources) == [joint for joint in JOINT_NAMES if joint in found.sources]
        assert {source.rotation for source in found.sources.values()} <= names_of(dialect)
        missing_body = {joint for joint in found.missing if joint not in FINGERS}
        assert missing_body == (
            {"neck", "head", *(f"{side}_{part}" for side in ("left", "right") for part in ("foot", "collar"))}
            if name == "g1"
            else set()
        )


def test_words_say_what_turns_and_what_is_where():
    g1 = find_map("g1", g1_files.NAMES)
    assert g1.sources["left_hip"] == Source("left_hip_yaw", "left_hip_roll")
    assert g1.sources["spine1"] == Source("pelvis", "waist_roll", "waist_pitch", 0.9)
    assert g1.sources["spine3"] == Source("waist_pitch", "waist_pitch")
    cmu = find_map("cmu", names_of(_DIALECTS["cmu"][0]))
    assert cmu.sources["spine2"] == Source("Chest", "Chest", "Chest2", 0.5)
    assert cmu.sources["right_wrist"] == Source("rhand", "RightWrist")


def test_an_unknown_map_is_refused_with_those_there_are():
    with pytest.raises(ConfigError, match=r"no joint map 'kinect'.*acclaim, cmu, mixamo, rokoko, xsens"):
        find_map("kinect", ["Hips"])


def test_joints_that_are_missing_are_named_and_those_there_are_listed():
    names = names_of(_DIALECTS["mixamo"][0]) - {"LeftForeArm", "Spine2"}
    with pytest.raises(ConfigError, match=r"'mixamo' needs 2 joints .*: Spine2, LeftForeArm\. It has .*LeftUpLeg") as e:
        find_map("mixamo", names)
    assert "Choose the map of this skeleton" in e.value.hint


def test_only_what_a_map_calls_optional_may_be_missing():
    names = names_of(_DIALECTS["perception_neuron"][0])
    found = find_map("perception_neuron", names - {"LeftToeBase", "RightToeBase"})
    assert {"left_foot", "right_foot"} <= found.missing
    with pytest.raises(ConfigError, match="Head"):
        find_map("perception_neuron", names - {"Head"})


def test_a_finger_is_taken_whole_or_not_at_all():
    names = names_of(_DIALECTS["mixamo"][0])
    found = find_map("mixamo", names - {"LeftHandPinky2"})
    assert found.missing == {"left_pinky1", "left_pinky2", "left_pinky3"}
    bare = find_map("mixamo", {name for name in names if "Hand" not in name or name in ("LeftHand", "RightHand")})
    assert bare.missing == set(FINGERS)


def test_a_namespace_before_the_names_does_not_matter():
    names = [f"mixamorig:{name}" for name in names_of(_DIALECTS["mixamo"][0])]
    found = find_map("mixamo", names)
    assert found.sources["left_hip"] == Source("mixamorig:LeftUpLeg", "mixamorig:LeftUpLeg")
    assert not found.missing


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "path", "num_joints"),
    [
        ("cmu", "animated-drawings/cmu1/jumping_jacks.bvh", 22),
        ("perception_neuron", "animated-drawings/fair1/dab.bvh", 22),
        ("mesh2motion", "mesh2motion-cc0/bvh/shiver.bvh", 52),
    ],
)
def test_the_shared_skeletons_fit_their_maps(shared_data, name, path, num_joints):
    recording = read_bvh(shared_data / path, unit_m=0.01, up_axis="Y")
    assert len(find_map(name, recording.names).sources) == num_joints
