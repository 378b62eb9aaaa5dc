"""How commands talk: people read standard error, programs read one line of JSON, last, on standard output.

``EXIT_CODES`` lists what the number a command leaves means; each error class knows its own (``errors``).
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.text import Text

from soulstream_engine import __version__
from soulstream_engine.errors import InvariantError, SoulstreamError

TRACEBACK_VARIABLE = "SOULSTREAM_TRACEBACK"
"""Set to 1 to see the whole traceback of an unexpected error."""

EXIT_INTERRUPTED = 130
"""Stopped by Ctrl-C before the work was done. Source: shell convention, 128 + SIGINT."""

EXIT_CODES = (
    "Exit codes: 0 done; 1 a check failed; 2 wrong option or setting; 3 model bundle; 4 inference runtime; 5 sound; "
    "6 output; 70 a bug of ours; 130 interrupted before the work was done."
)
"""Printed by --help and so part of the documentation."""

console = Console(stderr=True, highlight=False)
"""Everything a person reads."""


def build_app() -> typer.Typer:
    """The typer application without commands."""
    app = typer.Typer(
        name="soulstream",
        help="Music in, dance out: listens to music and dances, live, as OSC and in a browser page.\n\n"
        f"Start with: soulstream demo\n\n{EXIT_CODES}",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    )
    app.callback()(_version_option)
    return app


def print_json(values: Mapping[str, Any]) -> None:
    """Prints one line of JSON on standard output; numbers that are not finite become null."""
    sys.stdout.write(json.dumps(_finite(values), allow_nan=False) + "\n")
    sys.stdout.flush()


def say(text: str, style: str = "") -> None:
    """Prints a line for people, without reading markup in it and without breaking paths."""
    console.print(Text(text, style=style), soft_wrap=True)


def guarded(command: Callable[[], Any]) -> NoReturn:
    """Runs a command and exits: errors become one red message with the remedy and the exit code of their class.

    Args:
        command: Reads its own arguments from ``sys.argv``.

    Raises:
        SystemExit: Always, with the exit code.
    """
    signal.signal(signal.SIGTERM, _terminate)
    try:
        command()
    except SoulstreamError as error:
        show_error(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        say("Stopped.", "yellow")
        sys.exit(EXIT_INTERRUPTED)
    except Exception as error:  # the last door: whatever is left is our bug and is reported as one
        if os.environ.get(TRACEBACK_VARIABLE) == "1":
            raise
        _report_bug(error)
        sys.exit(InvariantError.exit_code)
    sys.exit(0)


def show_error(error: SoulstreamError) -> None:
    """Prints an error: what happened in red, what to do below it."""
    console.print(Text.assemble(("Error: ", "bold red"), (error.message.rstrip(), "red")), soft_wrap=True)
    if error.hint:
        say(error.hint)


def _report_bug(error: Exception) -> None:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "soulstream" in frame.filename]
    where = f"{os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else "outside soulstream"
    say(f"Error: soulstream {__version__} has a bug: {type(error).__name__}: {error} ({where})", "bold red")
    say(f"Please report it with the command you used. {TRACEBACK_VARIABLE}=1 before the command shows more.")


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _show_version(is_asked: bool) -> None:
    if is_asked:
        sys.stdout.write(f"soulstream {__version__}\n")
        raise typer.Exit


def _version_option(
    version: bool = typer.Option(False, "--version", help="Show the version.", is_eager=True, callback=_show_version),
) -> None:
    pass


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
