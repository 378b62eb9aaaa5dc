"""The systems of a judged table by name: ours, baselines, ceilings and floors, and dances that others published.

Each dances when it is asked, so that a table of ten systems holds one network at a time. Not for: scores (``judge``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from soulstream_engine.errors import ConfigError
from soulstream_training.baselines.common import Dancer

from .dances import Control
from .importers import FORMATS, read_folder
from .systems import Song, SystemTakes, bundle_takes, dance_to, real_takes

CEILING, FLOOR = "real_a", "real_shifted"
"""Real dancers on music that was rendered to fit them, and the same dancers out of time."""

REFERENCES = {CEILING: "ceiling"} | dict.fromkeys((FLOOR, "idle", "random_codes", "shifted"), "floor")
"""Systems that do not compete."""

NAMES = (
    CEILING, FLOOR, "idle", "random_codes", "shifted", "soulstream", "retrieval", "regressor", "gpt", "diffusion",
    "partwise",
)  # fmt: skip
"""Systems that are known without a folder of dances."""

_NOTES = {
    CEILING: "Real dancers of the test split. Their music was rendered to fit them: partly circular.",
    FLOOR: "The same dancers, moved in time by 2 s or more.",
    "idle": "The dancer who waits.",
    "random_codes": "Our bundle with codes that are drawn at random and hear nothing.",
    "shifted": "Real clips of the training split, started anywhere: they hear nothing.",
    "retrieval": "Clips of the training split whose music is most alike, warped to the beat.",
    "regressor": "FACT's idea, small: the next frames from the last two seconds and the music around.",
    "gpt": "Bailando's idea, small: codes of a VQ tokenizer, one after the other.",
    "diffusion": "EDGE's idea, small: five seconds at once, half overlapping.",
    "partwise": "FineNet's idea, small: lower and upper body apart, then refined.",
    "soulstream": "The bundle that ships, as it is sent: feet, limits and smoothing included.",
}


class Imported(BaseModel):
    """Dances of another system; its files do not say what a listener waits, nor what it looks at."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: Path
    format: str
    wait_s: float = Field(ge=0.0)
    is_causal: bool
    note: str = ""

    @field_validator("format")
    @classmethod
    def _check_format(cls, value: str) -> str:
        if value not in FORMATS:
            raise ValueError(f"'{value}' is not one of {', '.join(FORMATS)}")
        return value


class OtherBundle(BaseModel):
    """A further bundle that dances, for example the same weights in another arithmetic."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: Path
    note: str = ""


class JudgeConfig(BaseModel):
    """What is judged (``training/configs/judge.toml``); unknown keys are refused.

    ``uses`` of ``music.csv`` and ``seconds`` of each track; a dance for each of the ``seeds``; ``systems`` by name,
    further ``bundles`` and ``imported`` dances; ``split`` of the real dancers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    uses: tuple[str, ...] = ("test", "test6")
    seconds: float = Field(default=30.0, ge=5.0)
    seeds: tuple[int, ...] = (0,)
    split: str = "test"
    systems: tuple[str, ...] = NAMES
    bundles: dict[str, OtherBundle] = {}
    imported: dict[str, Imported] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """All that are judged, in the order of the table."""
        return (*self.systems, *self.bundles, *self.imported)

    @field_validator("systems")
    @classmethod
    def _check_systems(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in value if name not in NAMES]
        if unknown:
            raise ValueError(f"'{unknown[0]}' is not one of {', '.join(NAMES)}")
        missing = [name for name in (CEILING, FLOOR) if name not in value]
        if missing:
            raise ValueError(f"lacks {' and '.join(missing)}: without them no beat metric can be trusted")
        return value

    @model_validator(mode="after")
    def _check_names(self) -> JudgeConfig:
        known = (*NAMES, *self.imported)
        taken = [name for name in self.bundles if name in known] + [name for name in self.imported if name in NAMES]
        if taken:
            raise ValueError(f"'{taken[0]}' is the name of another system; give the dances another one")
        return self


@dataclass(frozen=True, slots=True)
class Places:
    """Folders: of the store, the music for training and for the test split, the weights, and a bundle or ``None``."""

    store: Path
    music: Path
    test_music: Path
    weights: Path
    bundle: Path | None = None


def takes_of(
    name: str,
    config: JudgeConfig,
    places: Places,
    songs: Sequence[Song],
    on_dance: Callable[[], None] = lambda: None,
) -> SystemTakes:
    """Lets a system dance to all songs, with every seed.

    Args:
        name: One of ``config.names``.
        config: Settings.
        places: Folders.
        songs: What to dance to; real dancers have songs of their own.
        on_dance: Called after every dance, for progress.

    Raises:
        ConfigError: If its weights, data or files are missing, or an imported dance is to no song of these.
        BundleError: If a bundle cannot be loaded.
        BackendError: If a network fails.
    """
    if name in config.imported:
        return _imported(name, config.imported[name], songs)
    wait_s, is_causal, note = 0.0, True, _NOTES.get(name, "")
    if name in (CEILING, FLOOR):
        takes = real_takes(places.store, places.test_music, config.split, "real" if name == CEILING else "real_shifted")
    elif name in ("soulstream", "random_codes") or name in config.bundles:
        control = Control.CODES if name == "random_codes" else Control.NONE
        folder = places.bundle
        if name in config.bundles:
            folder, note = config.bundles[name].folder, config.bundles[name].note
        takes = []
        for song in songs:
            takes += bundle_takes(folder, [song], config.seeds, control)
            on_dance()
    else:
        dancer = _dancer(name, places)
        wait_s = dancer.wait_s
        takes = []
        for song in songs:
            takes += [(dance_to(dancer, song, seed), song.beats_s) for seed in config.seeds]
            on_dance()
    return SystemTakes(name, takes, wait_s, is_causal, note)


def _dancer(name: str, places: Places) -> Dancer:
    baselines = places.weights / "baselines"
    if name == "idle":
        from soulstream_training.baselines.plain import IdleDancer

        return IdleDancer()
    if name == "shifted":
        from soulstream_training.baselines.plain import ShiftedDancer

        return ShiftedDancer(places.store)
    if name == "retrieval":
        from soulstream_training.baselines.retrieval import RetrievalDancer

        return RetrievalDancer(places.store, places.music)
    if name == "regressor":
        from soulstream_training.baselines.regressor import RegressorDancer

        return RegressorDancer(baselines)
    if name == "gpt":
        from soulstream_training.baselines.gpt import GptDancer

        return GptDancer(baselines, places.weights / "tokenizers")
    if name == "diffusion":
        from soulstream_training.baselines.diffusion import DiffusionDancer

        return DiffusionDancer(baselines)
    from soulstream_training.baselines.partwise import PartwiseDancer

    return PartwiseDancer(baselines)


def _imported(name: str, imported: Imported, songs: Sequence[Song]) -> SystemTakes:
    """Dances of a folder to those of the songs that they name."""
    known = {song.name: song for song in songs}
    takes = [
        (take, known[take.song].beats_s) for take in read_folder(imported.folder, imported.format) if take.song in known
    ]
    if not takes:
        raise ConfigError(
            "NO_DANCE_TO_THESE_SONGS",
            f"'{imported.folder}' has no dance to any of {', '.join(list(known)[:5])} ({len(known)} songs).",
            "Name each file after the id of its track in music.csv.",
        )
    return SystemTakes(name, takes, imported.wait_s, imported.is_causal, imported.note)
