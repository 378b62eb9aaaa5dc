"""The only door to PortAudio: imported when a device is first needed, so that everything else works without it."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from soulstream_engine.errors import AudioError


@dataclass(frozen=True, slots=True)
class InputDevice:
    """An input as PortAudio lists it. ``identity`` is what must stay the same when it is opened again."""

    index: int
    name: str
    host_api: str
    max_channels: int
    default_rate: float
    is_default: bool

    @property
    def identity(self) -> str:
        """Name and host API; the index may change whenever something is plugged in."""
        return f"{self.name} ({self.host_api})"


def import_sounddevice() -> Any:
    """Imports ``sounddevice``.

    Raises:
        AudioError: PortAudio's library is not installed; names the package to install.
    """
    try:
        return importlib.import_module("sounddevice")
    except OSError as error:
        raise AudioError(
            "AUDIO_PORTAUDIO_MISSING",
            f"Audio devices need the PortAudio library, which was not found ({error}).",
            "On Debian or Ubuntu: sudo apt-get install libportaudio2. Files, standard input and the built-in track "
            "work without it.",
        ) from error


def list_input_devices() -> list[InputDevice]:
    """Devices that can record, in PortAudio's order.

    Raises:
        AudioError: PortAudio is missing or does not answer.
    """
    sounddevice = import_sounddevice()
    try:
        devices = sounddevice.query_devices()
        host_apis = sounddevice.query_hostapis()
    except sounddevice.PortAudioError as error:
        raise AudioError(
            "AUDIO_PORTAUDIO_FAILED", f"PortAudio cannot list devices: {error}.", "Restart the sound server."
        ) from error
    default = sounddevice.default.device[0]
    return [
        InputDevice(
            index=number,
            name=str(device["name"]),
            host_api=str(host_apis[device["hostapi"]]["name"]),
            max_channels=int(device["max_input_channels"]),
            default_rate=float(device["default_samplerate"]),
            is_default=number == default,
        )
        for number, device in enumerate(devices)
        if device["max_input_channels"] > 0
    ]


def find_input_device(name: str | None) -> InputDevice:
    """Chooses a device.

    Args:
        name: Exact name, or a part of it in any case; ``None`` for the system's default.

    Raises:
        AudioError: no device, none of that name, or several; lists what there is.
    """
    devices = list_input_devices()
    listed = ", ".join(f"'{device.name}'" for device in devices) or "none"
    if not devices:
        raise AudioError(
            "AUDIO_DEVICE_MISSING",
            "No audio input device was found (0 devices).",
            "Plug one in, start the sound server, or use --audio FILE, --audio - or --audio demo.",
        )
    if name is None:
        return next((device for device in devices if device.is_default), devices[0])
    for matches in (
        [device for device in devices if device.name == name],
        [device for device in devices if name.casefold() == device.name.casefold()],
        [device for device in devices if name.casefold() in device.name.casefold()],
    ):
        if len({device.name for device in matches}) == 1:
            return matches[0]
        if matches:
            several = ", ".join(f"'{device.name}'" for device in matches)
            raise AudioError(
                "AUDIO_DEVICE_AMBIGUOUS",
                f"'{name}' fits {len(matches)} input devices: {several}.",
                "Give the whole name of one of them: --audio 'mic:NAME'.",
            )
    raise AudioError(
        "AUDIO_DEVICE_MISSING",
        f"There is no audio input device named '{name}'. Devices: {listed}.",
        "Use one of these names (--audio 'mic:NAME') or see soulstream devices.",
    )


def refresh() -> None:
    """Lets PortAudio look for devices again (it lists them once, at start). All streams must be closed."""
    sounddevice = import_sounddevice()
    sounddevice._terminate()
    sounddevice._initialize()
