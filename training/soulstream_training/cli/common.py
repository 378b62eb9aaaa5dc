"""Options and output shared by the training commands."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TypeVar

import typer
from pydantic import BaseModel, ValidationError

from soulstream_engine.errors import ConfigError

Settings = TypeVar("Settings", bound=BaseModel)

DataOption = typer.Option("../shared/data", "--data", help="Folder with clips.csv and music.csv.")
StoreOption = typer.Option(".cache/motion", "--store", help="Prepared motion.")
MusicOption = typer.Option(".cache/music", "--music", help="Music made for the motion.")
WeightsOption = typer.Option("training/checkpoints", "--weights", help="Folder of the weights that last.")
RunsOption = typer.Option("runs", "--runs", help="Folder of full checkpoints and logs; a run there is resumed.")
JsonOption = typer.Option(False, "--json", help="Print one line of JSON last.")


def read_section(path: Path, section: str, model: type[Settings]) -> Settings:
    """One section of a TOML file as settings; the whole file where ``section`` is empty.

    Raises:
        ConfigError: If the file cannot be read, or keys or values are wrong; all of them are listed.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(
            "CONFIG_UNREADABLE", f"Config '{path}' cannot be read: {error}.", "Check the path."
        ) from error
    try:
        return model.model_validate(document.get(section, {}) if section else document)
    except ValidationError as error:
        prefix = (section,) if section else ()
        wrong = "; ".join(f"{'.'.join(map(str, (*prefix, *e['loc'])))}: {e['msg']}" for e in error.errors())
        known = ", ".join(sorted(model.model_fields))
        raise ConfigError("CONFIG_INVALID", f"Config '{path}': {wrong}.", f"Known keys: {known}.") from error
