"""``soulstream doctor``: what is missing on this computer, and the one command that fixes it."""

from __future__ import annotations

import platform
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from soulstream_engine.cli.output import console, print_json, say
from soulstream_engine.errors import SoulstreamError

_PROBE_BYTES = b"soulstream doctor"
_PROBE_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. ``is_needed`` tells whether nothing dances without it."""

    name: str
    is_ok: bool
    detail: str
    fix: str = ""
    is_needed: bool = True


def doctor(
    bundle: Annotated[Path | None, typer.Option(help="Check this bundle instead of the embedded one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON last.")] = False,
) -> None:
    """Check this computer: sound, model, runtime, network.

    Every problem comes with the command that fixes it. Exit code 0 means that the demo can run.

    Examples:
      soulstream doctor
    """
    checks = [_python(), *_sound(), *_model(bundle), _network(), _preview()]
    for check in checks:
        mark, style = ("ok", "green") if check.is_ok else (("missing", "red") if check.is_needed else ("no", "yellow"))
        console.print(Text.assemble((f"{mark:>7}", style), f"  {check.name}: {check.detail}"), soft_wrap=True)
        if check.fix:
            say(f"         {check.fix}", "bold")
    is_healthy = all(check.is_ok for check in checks if check.is_needed)
    say(
        "soulstream can dance here." if is_healthy else "soulstream cannot dance here yet.",
        "green" if is_healthy else "red",
    )
    if as_json:
        print_json(
            {
                "healthy": is_healthy,
                "checks": [
                    {"name": c.name, "ok": c.is_ok, "needed": c.is_needed, "found": c.detail, "fix": c.fix}
                    for c in checks
                ],
            }
        )
    if not is_healthy:
        raise typer.Exit(1)


def _python() -> Check:
    is_ok = sys.version_info >= (3, 11)
    return Check("Python", is_ok, platform.python_version(), "" if is_ok else "Install Python 3.11 or newer.")


def _sound() -> list[Check]:
    from soulstream_engine.audio.portaudio import list_input_devices

    try:
        devices = list_input_devices()
    except SoulstreamError as error:
        return [Check("PortAudio", False, error.message, error.hint, is_needed=False)]
    names = ", ".join(device.name for device in devices[:4]) + (" ..." if len(devices) > 4 else "")
    fix = "" if devices else "Plug in a microphone, or play a file: soulstream run --audio FILE"
    return [
        Check("PortAudio", True, "found"),
        Check("input devices", bool(devices), names or "none", fix, is_needed=False),
    ]


def _model(path: Path | None) -> list[Check]:
    checks = []
    try:
        from soulstream_engine.backends import open_backend

        backend = open_backend()
        checks.append(Check("runtime", True, backend.name))
    except SoulstreamError as error:
        return [Check("runtime", False, error.message, error.hint)]
    try:
        from soulstream_engine.bundle import load_bundle

        bundle = load_bundle(path)
        size = sum(entry.bytes for entry in bundle.manifest.files.values()) / 1e6
        checks.append(Check("model", True, f"{bundle.manifest.model_id}, {size:.1f} MB, verified"))
        for step in bundle.manifest.steps:
            backend.load(bundle.graphs[step.name], step.name, step)
        checks.append(Check("model loads", True, f"{len(bundle.manifest.steps)} steps"))
    except SoulstreamError as error:
        checks.append(Check("model", False, error.message, error.hint))
    return checks


def _network() -> Check:
    """Sends one datagram to ourselves over loopback."""
    try:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        ):
            receiver.bind(("127.0.0.1", 0))
            receiver.settimeout(_PROBE_TIMEOUT_S)
            sender.sendto(_PROBE_BYTES, receiver.getsockname())
            is_ok = receiver.recv(64) == _PROBE_BYTES
        return Check("UDP on this computer", is_ok, "a datagram came back" if is_ok else "the datagram was changed")
    except OSError as error:
        return Check("UDP on this computer", False, str(error), "Allow Python in the firewall (private networks).")


def _preview() -> Check:
    import importlib.util

    if importlib.util.find_spec("viser") is None:
        return Check("preview page", False, "viser is not installed", "pip install viser", is_needed=False)
    return Check("preview page", True, "viser found", is_needed=False)
