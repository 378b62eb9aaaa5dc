"""``soulstream devices``: what can be listened to."""

from __future__ import annotations

from typing import Annotated

import typer

from soulstream_engine.cli.output import console, print_json, say


def devices(
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON last.")] = False,
) -> None:
    """List the microphones and line inputs.

    Use a name, or a part of one that fits a single device, after mic: with run --audio.

    Examples:
      soulstream devices
      soulstream run --audio mic:USB
    """
    from rich.table import Table
    from rich.text import Text

    from soulstream_engine.audio.portaudio import list_input_devices

    found = list_input_devices()
    if not found:
        say("No input device was found. Files, standard input and the built-in track work without one.", "yellow")
    else:
        table = Table("name", "system", "channels", "rate (Hz)", "")
        for device in found:
            default = "default" if device.is_default else ""
            rate = f"{device.default_rate:.0f}"
            table.add_row(Text(device.name), Text(device.host_api), str(device.max_channels), rate, default)
        console.print(table)
    if as_json:
        print_json(
            {
                "devices": [
                    {
                        "name": device.name,
                        "host_api": device.host_api,
                        "channels": device.max_channels,
                        "sample_rate": device.default_rate,
                        "default": device.is_default,
                    }
                    for device in found
                ]
            }
        )
