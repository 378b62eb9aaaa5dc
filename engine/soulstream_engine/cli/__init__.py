"""The command ``soulstream``: thin commands around the engine. The only place that prints.

Heavy modules (numpy, ONNX Runtime, audio, the preview) are imported inside the commands, so that help, errors and the
first idle frame come at once.
"""

from __future__ import annotations

from soulstream_engine.cli import beats, bench, build, devices, doctor, render, run
from soulstream_engine.cli.output import build_app, guarded

app = build_app()
app.command()(run.demo)
app.command()(run.run)
app.command()(render.render)
app.command()(build.build)
app.command()(beats.beats)
app.command()(devices.devices)
app.command()(doctor.doctor)
app.add_typer(bench.app, name="bench")


def main() -> None:
    """Entry point of ``soulstream``: runs a command and turns errors into one message and an exit code."""
    guarded(app)
