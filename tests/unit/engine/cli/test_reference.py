"""The written reference of commands lists what the commands really take. ``make docs`` writes it anew."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from soulstream_engine.cli import app
from soulstream_engine.cli.output import EXIT_CODES
from soulstream_engine.errors import SoulstreamError

TEXT = (Path(__file__).resolve().parents[4] / "docs" / "commands.md").read_text(encoding="utf-8")
GROUP = typer.main.get_command(app)


@pytest.mark.parametrize("name", sorted(GROUP.commands))  # type: ignore[attr-defined]
def test_every_command_is_there_with_its_options_and_first_sentence(name: str) -> None:
    command = GROUP.commands[name]  # type: ignore[attr-defined]
    section = TEXT.split(f"\n## `soulstream {name}`\n")[1].split("\n## ")[0]
    assert command.help.splitlines()[0] in section
    written = {option for line in section.splitlines() if line.startswith("* `--") for option in words_of(line)}
    real = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert written == {option for option in real if option.startswith("--")} | {"--help"}


def words_of(line: str) -> list[str]:
    """The options that a line of the reference begins with."""
    return [word for word in line.split("`")[1].split() if word.startswith("--")]


def test_every_exit_code_is_told() -> None:
    assert EXIT_CODES in TEXT
    for error in SoulstreamError.__subclasses__():
        assert f" {error.exit_code} " in EXIT_CODES
