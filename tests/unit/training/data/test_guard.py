"""Nobody is judged by what was learned: shared recordings, takes and songs are named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from soulstream_engine.errors import ConfigError
from soulstream_training.data.guard import check_apart, learned_from
from soulstream_training.data.store import ClipEntry

CLIP = ClipEntry("a", "hash-of-a", "train", "real", "salsa", None, "b", "ann", 300, 300, music="song.wav")


def test_other_clips_pass_and_weights_without_a_list_too() -> None:
    other = replace(CLIP, clip_id="c", input_hash="hash-of-c", partner_id="", music="other.wav")
    check_apart(learned_from([CLIP]), [other], "the judge")
    check_apart({}, [CLIP], "the judge")


@pytest.mark.parametrize(
    ("shared", "kind"),
    [
        ({"clip_id": "copy", "partner_id": "", "music": ""}, "recording"),
        ({"clip_id": "b", "partner_id": "a", "input_hash": "x", "music": ""}, "take"),
        ({"clip_id": "c", "partner_id": "", "input_hash": "x"}, "song"),
    ],
)
def test_a_planted_overlap_is_refused_by_name(shared: dict[str, str], kind: str) -> None:
    judged = replace(CLIP, **shared)
    with pytest.raises(ConfigError, match=rf"the judge was trained on {judged.clip_id} \({kind}\)"):
        check_apart(learned_from([CLIP]), [judged], "the judge")


@pytest.mark.parametrize(
    ("shared", "kind"),
    [
        ({"recording": "f1.1"}, "recording"),
        ({"take": "a"}, "take"),
        ({"song": "s1"}, "song"),
    ],
)
def test_the_same_thing_prepared_or_called_otherwise_is_refused(shared: dict[str, str], kind: str) -> None:
    learned = replace(CLIP, recording="f1.1", take="a", song="s1")
    judged = replace(CLIP, clip_id="z", input_hash="other", partner_id="", music="renamed.wav", **shared)
    with pytest.raises(ConfigError, match=rf"z \({kind}\)"):
        check_apart(learned_from([learned]), [judged], "the judge")
    check_apart(learned_from([learned]), [replace(judged, **dict.fromkeys(shared, "else"))], "the judge")


def test_what_is_unknown_is_shared_with_nobody() -> None:
    unknown = replace(CLIP, input_hash="", partner_id="", music="")
    assert learned_from([unknown]) == {"recordings": [], "takes": [], "songs": []}
    check_apart(learned_from([CLIP, unknown]), [unknown], "the judge")


def test_dancers_of_one_file_are_recordings_of_their_own() -> None:
    content = "0123456789abcdef" * 4
    one, two = (replace(CLIP, recording=f"{content}.{n}", input_hash=str(n), partner_id="", music="") for n in (1, 2))
    check_apart(learned_from([one]), [two], "the judge")
