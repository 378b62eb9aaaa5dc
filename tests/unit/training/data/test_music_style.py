"""Styles: enough of them, one for every dance and tempo, and drums that repeat without a seam."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from soulstream_training.data.electronic import programmed_drums
from soulstream_training.data.music_style import CHORDS, GENERAL, STYLES, Style, draw_style, repeat_drums, styles_for

NUM_STYLES = 25
"""Least number of styles of music."""

DANCES = (
    *("animal", "blunt", "break", "breakdance", "broadway", "charleston", "chicken-dance", "daddance", "dance"),
    *("dance-body-roll", "dance-charleston", "dance-reach-hip", "disco", "dwg", "gnarly", "house", "hype", "jazzwalk"),
    *("krump", "la-hip-hop", "lambada", "letsgo", "lock", "longdance", "lushlife", "macarena", "middle-hip-hop"),
    *("midnightsun", "mj-style", "modern", "modern-ballet", "nineties", "party", "peacemaker", "russian", "salsa"),
    *("sassy", "shuffle", "singleladies", "spiraldance", "steptouch", "street-jazz", "stretchdance", "thrilling"),
    *("tiktok", "waack", "westcoast", "whirl", "wiggledance", "woah"),
)
"""Labels of dances in the clip list and in AIST++."""


def test_there_are_enough_different_styles() -> None:
    assert len(STYLES) >= NUM_STYLES
    grooves = Counter(groove for style in STYLES.values() for groove in style.grooves)
    alone = [style for style in STYLES.values() if any(grooves[groove] == 1 for groove in style.grooves)]
    assert len(alone) >= NUM_STYLES
    for style in STYLES.values():
        assert style.slow < style.fast
        assert style.chords in CHORDS or not style.grooves


@pytest.mark.parametrize("label", DANCES)
def test_every_dance_has_music_of_its_own_first_and_general_music_last(label: str) -> None:
    names = styles_for(label)
    assert set(names) <= set(STYLES)
    assert len(set(names)) == len(names)
    assert set(GENERAL) <= set(names)
    assert names[0] not in GENERAL


def test_other_labels_get_music_too() -> None:
    assert styles_for("salsa")[0] == "salsa"
    assert styles_for("tango")[0] == "tango"
    assert set(styles_for("never heard of")) <= set(STYLES)
    assert {"electronic", "rock", "pop"} <= set(STYLES)


def test_music_in_cut_time_has_two_quarters_a_beat() -> None:
    style = Style("x", 160, 240)
    assert [style.quarters_a_beat(bpm) for bpm in (81.0, 100.0, 119.0, 165.0, 239.0)] == [2, 2, 2, 1, 1]
    assert [style.suits(bpm) for bpm in (79.0, 81.0, 119.0, 130.0, 165.0, 241.0)] == [
        False,
        True,
        True,
        False,
        True,
        False,
    ]


def test_styles_that_are_not_played_at_the_tempo_are_left_out() -> None:
    generator = np.random.default_rng(0)
    assert STYLES["ballad"].suits(90.0)
    assert not STYLES["ballad"].suits(150.0)
    drawn = Counter(draw_style(("ballad", "pop", "electronic"), 150.0, generator).name for _ in range(200))
    assert set(drawn) == {"pop", "electronic"}
    assert drawn["pop"] > drawn["electronic"]
    assert draw_style(("ballad",), 150.0, generator).name == "ballad"


@pytest.mark.parametrize("label", DANCES)
@pytest.mark.parametrize("bpm", [84.0, 100.0, 118.0, 140.0, 168.0])
def test_every_tempo_has_a_band(label: str, bpm: float) -> None:
    assert any(STYLES[name].suits(bpm) and STYLES[name].grooves for name in styles_for(label))


def test_repeated_drums_have_no_seam() -> None:
    loop = programmed_drums(np.random.default_rng(0), 0.5)
    notes = repeat_drums(loop, 32, 4, 1.0)
    kicks = sorted({note.beat for note in notes if note.pitch == 36})
    assert min(kicks) == 0.0
    assert max(np.diff(kicks)) <= 2.0
    assert all(0.0 <= note.beat < 32 for note in notes)
