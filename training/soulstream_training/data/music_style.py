"""Styles of music for a dance: which grooves, chords, drum takes and kits go together, and at which tempo.

Grooves are names in the library of MMA 21.09, its own part (``stdlib``) and ``pflib``; those that were converted from
keyboards of a maker are not used, and only grooves in four quarters are. Everything else (key, progression, groove,
instruments of the groove) is drawn anew for each piece. Not for: the band (``mma_band``), programmed music
(``electronic``), drums played by people (``groove``), sound (``music_render``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from soulstream_training.data.groove import DrumLoop

DRUM_CHANNEL = 9

GENERAL = ("pop", "rock", "electronic")
"""Styles that fit every dance; they come last for each."""

FIRST_SHARE = 0.45
"""Share of the pieces that are of the first style at least; the others are drawn from all that fit."""


@dataclass(frozen=True, slots=True)
class Note:
    """One note: ``beat`` and ``length`` in beats, MIDI ``pitch``, ``velocity`` 1..127 and ``channel``."""

    beat: float
    length: float
    pitch: int
    velocity: int
    channel: int


@dataclass(frozen=True, slots=True)
class Style:
    """What belongs together in a kind of music.

    ``slow`` and ``fast`` are the tempi it is played at, in quarter notes a minute as MMA writes it. ``grooves`` lists
    MMA's grooves from sparse to dense, none where the music is programmed; ``fill`` is one for the last bar of a
    section. ``takes`` are styles of drum takes that can replace the band's own drums, none where these must stay.
    ``chords`` is a key of ``CHORDS``. ``kits`` are General MIDI programs. The band's own drums are heard only if
    ``has_drummer``.
    """

    name: str
    slow: float
    fast: float
    grooves: tuple[str, ...] = ()
    fill: str = ""
    takes: tuple[str, ...] = ()
    chords: str = ""
    kits: tuple[int, ...] = (0, 8)
    has_drummer: bool = True

    def quarters_a_beat(self, bpm: float) -> int:
        """Quarter notes to a beat that is danced: 2 for music in cut time, or where one would be too slow.

        Args:
            bpm: Beats a minute that are danced.

        Returns:
            1 or 2, whichever comes nearer to the tempi of the style.
        """
        return min((1, 2), key=lambda quarters: self._octaves_off(bpm * quarters))

    def suits(self, bpm: float) -> bool:
        """Whether it can be danced at a tempo in beats a minute."""
        return self._octaves_off(bpm * self.quarters_a_beat(bpm)) == 0.0

    def _octaves_off(self, tempo: float) -> float:
        return max(float(np.log2(self.slow / tempo)), float(np.log2(tempo / self.fast)), 0.0)


_LATIN = ("latin", "afrocuban")
_JAZZ = ("jazz", "neworleans")
_BLUES = ("blues", "jazz")
_SOUL = ("soul", "funk")
_COUNTRY = ("country", "pop")

CHORDS = {
    "latin": ("Am Dm E7 Am", "Am G F E7", "Dm7 G7 CM7 A7", "C F G7 F", "Am Am E7 E7", "Am D7 G7 C"),
    "jazz": ("CM7 Am7 Dm7 G7", "Dm7 G7 CM7 A7", "C6 A7 D7 G7", "CM7 C7 FM7 Fm6", "Am6 Dm6 E7 Am6", "C6 C6 Dm7 G7"),
    "blues": (
        "C7 C7 C7 C7 F7 F7 C7 C7 G7 F7 C7 G7",
        "C7 F7 C7 C7 F7 F7 C7 A7 Dm7 G7 C7 G7",
        "Am7 Am7 Am7 Am7 Dm7 Dm7 Am7 Am7 F7 E7 Am7 E7",
    ),
    "rock": ("C F G F", "C Bb F C", "Am F C G", "C G F C", "Am G F G", "C C F G"),
    "pop": ("C G Am F", "Am F C G", "C Am F G", "F G Em Am", "C F C G", "Am G F G"),
    "slow": ("C Am F G", "C Em F G", "Am F C G", "CM7 Em7 FM7 G7", "F C Dm Am"),
    "funk": ("Dm7 G7 Dm7 G7", "Am7 Am7 D7 D7", "C9 C9 F9 F9", "Am7 FM7 Dm7 E7", "C7 C7 Bb7 F7"),
    "dance": ("Am F C G", "Am Am F G", "Am Dm F G", "Dm Am F G", "C G Am F"),
    "folk": ("C F C G7", "C C F G7", "C Am Dm G7", "C G7 C G7", "F C G7 C", "C F G7 C"),
    "minor": ("Am Dm E7 Am", "Am Am E7 Am", "Am C G E7", "Dm Am E7 Am", "Am G F E7"),
    "polka": ("C G7 G7 C", "C F C G7", "Am Dm E7 Am", "Am Am E7 Am", "Dm Am E7 Am"),
}
"""Progressions in C major or A minor, one chord a bar, by what they are for."""

STYLES: dict[str, Style] = {
    style.name: style
    for style in (
        Style("electronic", 80, 180, kits=(24, 25)),
        # Latin
        Style("salsa", 124, 248, ("Salsa", "SalsaSus", "SalsaPlus", "SalsaSusPlus"), "SalsaFill", _LATIN, "latin"),
        Style("mambo", 124, 248, ("Mambo1", "MamboSus", "Mambo", "Mambo3"), "", _LATIN, "latin"),
        Style("son", 110, 220, ("Son", "SonSus", "SonPlus", "SonSusPlus"), "", _LATIN, "latin"),
        Style("chacha", 96, 136, ("ChaCha", "ChaChaSus", "ChaCha1", "ChaCha1Sus"), "ChaChaFill", _LATIN, "latin"),
        Style("merengue", 200, 320, ("Merengue", "MerengueSus", "Merengue2"), "", _LATIN, "latin"),
        Style("rumba", 90, 150, ("Rhumba", "JazzRhumba", "Rhumba1", "Rhumba3"), "", _LATIN, "latin"),
        Style("bolero", 76, 120, ("Bolero", "SlowBolero", "SlowBoleroPlus"), "", _LATIN, "latin"),
        Style("beguine", 100, 150, ("Beguine", "BeguineSus", "Beguine1"), "BeguineFill", _LATIN, "latin"),
        Style("samba", 140, 280, ("SambaPlus", "Samba", "SambaSusPlus"), "SambaFill", _LATIN, "latin"),
        Style("bossanova", 105, 170, ("BossaNova", "BossaNovaSus", "BossaNovaPlus"), "", _LATIN, "jazz"),
        Style("latinfusion", 105, 165, ("LFusion1", "LFusion1Sus", "LFusion", "LFusionSus"), "", _LATIN, "pop"),
        Style("calypso", 120, 240, ("Calypso", "CalypsoPlus", "Calypso1Plus"), "", ("highlife", *_LATIN), "folk"),
        Style("tango", 105, 138, ("TangoClean", "LightTango", "Tango1", "Tango"), "", (), "minor"),
        # Swing and before
        Style("charleston", 150, 300, ("Charleston", "CharlestonPlus", "Charleston2Plus"), "", (), "jazz"),
        Style("dixie", 140, 280, ("Dixie3", "DixieMarch", "Dixie1", "Dixie"), "", _JAZZ, "jazz", (0, 32)),
        Style("ragtime", 110, 220, ("RagTime", "RagtimePlus", "RagtimeSusPlus"), "", _JAZZ, "jazz", (0, 32)),
        Style("swing", 105, 210, ("Swing1", "Swing", "SwingWalk", "SwingPlus"), "SwingFill", _JAZZ, "jazz", (0, 32)),
        Style("bigband", 105, 210, ("BigBand", "BigBandPlus", "BigBand1Plus"), "BigBandFill", _JAZZ, "jazz", (0, 32)),
        Style("quickstep", 170, 300, ("FastSwing", "QuickStep", "QuickStepHit"), "", _JAZZ, "jazz", (0, 32)),
        Style("foxtrot", 105, 165, ("Foxtrot", "FoxTrotPlus", "FoxTrot1Plus"), "", _JAZZ, "jazz", (0, 32)),
        Style("gypsyjazz", 130, 260, ("GypsyJazz", "GypsyJazzFiddle"), "", ("jazz",), "minor", (0, 40)),
        Style("broadway", 190, 300, ("Broadway", "Broadway1", "Broadway2"), "BroadwayFill", _JAZZ, "jazz", (0, 32)),
        # Blues, rock and roll
        Style("blues", 80, 140, ("Blues", "Blues1", "BluesTriple"), "", _BLUES, "blues"),
        Style("jumpblues", 120, 200, ("FastBlues", "FastBluesWalk", "FastBlues1"), "", ("blues", "rock"), "blues"),
        Style("boogie", 120, 220, ("BoggieWoggie1", "BoggieWoggie", "BoggieWoggie2"), "", _BLUES, "blues"),
        Style("shuffle", 105, 165, ("ShuffleBoggie", "ShuffleBoggie1"), "ShuffleBoggieFill", _BLUES, "blues"),
        Style("jive", 120, 220, ("Jive", "JivePlus", "Jive1Clap"), "", ("rock", "blues"), "blues"),
        Style("rockabilly", 120, 210, ("50sRock1", "50sRock", "50sRockPlus"), "", ("rock", "country"), "blues"),
        Style("twist", 120, 190, ("Twist4", "Twist", "TwistSus"), "", ("rock",), "blues"),
        # Rock and pop
        Style("rock", 95, 180, ("BasicRock4", "BasicRock", "BasicRockSus"), "", ("rock", "punk"), "rock", (0, 8, 16)),
        Style("oldies", 105, 170, ("60sRock1", "60sRock", "60sRockPlus"), "", ("rock",), "rock"),
        Style("folkrock", 95, 145, ("FolkRock", "FolkRockSus", "FolkRockPlus"), "FolkRockFill", ("rock",), "rock"),
        Style("metal", 95, 160, ("pflib/metal1:Metal1A", "pflib/metal1:Metal1B"), "", ("rock", "punk"), "rock", (16,)),
        Style("pop", 90, 170, ("8Beat", "8BeatSus", "8BeatPlus", "8Beat1Plus"), "8BeatFill", ("pop", "rock"), "pop"),
        Style("bubblegum", 100, 160, ("SoftRock", "BubbleRock", "BubbleRockPlus"), "", ("pop", "rock"), "pop"),
        Style("sixteenbeat", 76, 125, ("pflib/16beat1:16Beat1A", "pflib/16beat1:16Beat1B"), "", ("pop", "funk"), "pop"),
        Style("ballad", 60, 118, ("PianoBallad", "GuitarBallad", "PopBallad"), "", ("soul", "pop"), "slow", (0, 40)),
        Style("rockballad", 60, 115, ("RockBallad1", "RockBallad", "RockBalladVoice"), "", (), "slow"),
        # Soul and what came of it
        Style("soul", 90, 135, ("R&B", "R&BSus", "R&BPlus"), "R&BFill", _SOUL, "funk"),
        Style("funk", 85, 130, ("BVFunk", "Strut", "BVFunkHorns"), "", ("funk", "soul"), "funk"),
        Style("disco", 98, 138, ("BoneyM", "BoneyMSus", "BoneyMPlus"), "BoneyMFill", ("dance", "pop"), "dance"),
        Style("discosoul", 90, 135, ("DSoul", "DSoulSus", "DSoulPlus"), "DSoulFill", _SOUL, "funk"),
        Style("hiphop", 76, 118, ("BVFunk", "R&B-Ballad"), "", ("hiphop",), "funk", (0, 25), has_drummer=False),
        Style("gospel", 105, 190, ("Spiritual", "SpiritualPlus", "SpiritualSusPlus"), "", _SOUL, "folk"),
        Style("ska", 150, 300, ("Ska", "Ska1", "SkaClap"), "", ("reggae", "punk"), "rock"),
        Style("trance", 115, 160, ("TranceBass1", "Trance", "Trance2"), "", (), "dance", (24, 25)),
        # From the country, and for marching
        Style("country", 100, 200, ("CountrySwing", "WesternSwing", "CountrySwing1"), "", _COUNTRY, "folk"),
        Style("bluegrass", 140, 280, ("BlueGrass", "BlueGrassClap", "BlueGrassBottle"), "", _COUNTRY, "folk"),
        Style("hillbilly", 130, 250, ("HillCountry", "HillCountrySus", "HillCountryPlus"), "", _COUNTRY, "folk"),
        Style("zydeco", 115, 230, ("Zydeco", "ZydecoSus", "ZydecoPlus"), "", ("neworleans", "rock"), "folk"),
        Style("polka", 190, 300, ("Polka", "PolkaArp", "Polka1Arp"), "", (), "polka"),
        Style("march", 190, 260, ("March", "March1", "March3"), "", (), "folk", (0, 48)),
        Style("desert", 95, 160, ("Desert", "DesertSus"), "DesertFill", ("middleeastern", "afrobeat"), "minor"),
    )
}

_BY_LABEL = {
    "salsa": ("salsa", "mambo", "son"),
    "lambada": ("latinfusion", "samba", "calypso"),
    "macarena": ("latinfusion", "rumba", "disco"),
    "charleston": ("charleston", "dixie", "quickstep"),
    "dance-charleston": ("charleston", "dixie", "quickstep"),
    "broadway": ("broadway", "bigband", "foxtrot"),
    "jazzwalk": ("swing", "bigband", "foxtrot"),
    "westcoast": ("swing", "blues", "soul"),
    "peacemaker": ("country", "folkrock", "bluegrass"),
    "russian": ("polka", "gypsyjazz", "march"),
    "chicken-dance": ("polka", "zydeco", "twist"),
    "animal": ("funk", "jive", "boogie"),
    "zombie": ("funk", "metal", "desert"),
    "mj-style": ("discosoul", "funk", "disco"),
    "thrilling": ("discosoul", "funk", "disco"),
    "breakdance": ("hiphop", "funk", "sixteenbeat"),
    "modern-ballet": ("ballad", "rockballad", "bossanova"),
    "modern": ("ballad", "trance", "soul"),
    "whirl": ("ballad", "desert", "gypsyjazz"),
    "spiraldance": ("ballad", "bossanova", "desert"),
    "stretchdance": ("ballad", "bolero", "soul"),
    "daddance": ("oldies", "twist", "rockabilly"),
    "longdance": ("soul", "funk", "disco"),
    "wiggledance": ("calypso", "zydeco", "twist"),
    "steptouch": ("bubblegum", "disco", "soul"),
    "shuffle": ("shuffle", "trance", "hiphop"),
    "party": ("disco", "trance", "latinfusion"),
    "disco": ("disco", "discosoul"),
    "nineties": ("trance", "hiphop", "sixteenbeat"),
    "singleladies": ("soul", "discosoul", "sixteenbeat"),
    "sassy": ("soul", "discosoul", "chacha"),
    "lushlife": ("trance", "soul", "disco"),
    "midnightsun": ("trance", "disco"),
    "tiktok": ("hiphop", "sixteenbeat", "soul"),
    "gnarly": ("hiphop", "metal", "funk"),
    "letsgo": ("hiphop", "rock", "disco"),
    "dwg": ("hiphop", "soul", "funk"),
    "blunt": ("hiphop", "ska", "soul"),
    "hype": ("hiphop", "trance", "metal"),
    "woah": ("hiphop", "funk", "soul"),
    "dance": ("disco", "soul", "funk"),
    "dance-body-roll": ("soul", "rumba", "discosoul"),
    "dance-reach-hip": ("soul", "chacha", "disco"),
    "dab": ("hiphop", "funk"),
    "jumping-jacks": ("disco", "march", "rock"),
    "karate": ("trance", "metal", "funk"),
    "boxing": ("hiphop", "metal", "funk"),
    "walk": ("march", "soul", "country"),
    # AIST++
    "break": ("hiphop", "funk", "sixteenbeat"),
    "pop": ("funk", "discosoul", "hiphop"),
    "lock": ("funk", "soul", "discosoul"),
    "middle-hip-hop": ("hiphop", "soul", "funk"),
    "la-hip-hop": ("hiphop", "soul", "sixteenbeat"),
    "house": ("trance", "electronic", "disco"),
    "waack": ("disco", "discosoul"),
    "krump": ("hiphop", "metal", "sixteenbeat"),
    "street-jazz": ("soul", "sixteenbeat", "latinfusion"),
    "ballet-jazz": ("swing", "bossanova", "ballad"),
}
_OTHER = ("disco", "soul", "funk")


def styles_for(label: str) -> tuple[str, ...]:
    """Styles that suit a motion clip.

    Args:
        label: Style column of the clip list; the name of a style of ours stands for itself.

    Returns:
        Names in ``STYLES``; the first fits best, those that fit everything come last.
    """
    own = _BY_LABEL.get(label, (label,) if label in STYLES else _OTHER)
    return (*own, *(name for name in GENERAL if name not in own))


def draw_style(names: tuple[str, ...], bpm: float, generator: np.random.Generator) -> Style:
    """A style to dance to at a tempo, most often the first.

    Args:
        names: Names in ``STYLES``, best first; those that are not played at the tempo are left out, unless all are.
        bpm: Beats a minute.
        generator: Source of chance.

    Returns:
        The style.
    """
    fitting = [name for name in names if STYLES[name].suits(bpm)] or list(names)
    first = generator.random() < FIRST_SHARE
    return STYLES[fitting[0] if first else fitting[int(generator.integers(len(fitting)))]]


def repeat_drums(loop: DrumLoop, num_beats: int, first_beat: int, loudness: float) -> list[Note]:
    """A drum loop over a whole piece.

    Args:
        loop: The loop.
        num_beats: Length of the piece.
        first_beat: Beat of the loop the piece starts with.
        loudness: Factor of the velocities.

    Returns:
        Notes on the drum channel, in beats from the start of the piece.
    """
    notes: list[Note] = []
    for base in range(-loop.num_beats, num_beats + loop.num_beats, loop.num_beats):
        for beat, pitch, velocity in zip(loop.beat, loop.note, loop.velocity, strict=True):
            at = base + float(beat) - first_beat
            if -0.01 <= at < num_beats:
                strength = int(np.clip(velocity * loudness, 1, 127))
                notes.append(Note(max(at, 0.0), 0.2, int(pitch), strength, DRUM_CHANNEL))
    return notes
