"""Where sound comes from, and one way to open it: ``open_source("demo" | "mic" | "mic:NAME" | "-" | FILE)``.

Every source yields ``AudioBlock``s: mono, 48 kHz, about 10 ms. ``captured_ns`` is always the monotonic time at which
the first sample of the block sounded (or should sound), so whoever maps sound to frames needs no other clock. Kinds:

- paced (file, built-in track): delivered in real time at absolute deadlines, starting at a time the caller aligns;
- pipe (standard input): taken as it comes, but never faster than real time; a stall moves the following audio;
- device (microphone, line-in): stamped by the device.
"""

from __future__ import annotations

import os
import sys

from soulstream_engine.audio.protocol import AudioSource
from soulstream_engine.errors import AudioError, ConfigError

__all__ = ["AudioSource", "open_source"]

MICROPHONE_PREFIX = "mic:"
"""Before the name of an input device."""


def open_source(
    spec: str, *, play: bool | None = False, loop: bool | None = None, pipe_format: str = "s16le"
) -> AudioSource:
    """Opens a source.

    Args:
        spec: ``demo``, ``mic``, ``mic:NAME``, ``-`` or the name of a sound file.
        play: Also play a file or the built-in track on the default output device; a missing device is an error.
            ``None``: play if there is a device, which is opened with the first block.
        loop: Start again at the end. ``None``: the built-in track loops, files do not.
        pipe_format: How the raw samples on standard input look: ``ENCODING:HZ:CHANNELS``; 48 kHz and mono unless said.

    Raises:
        AudioError: the file or device cannot be used; says what is there instead.
        ConfigError: the specification or the pipe format means nothing.
    """
    if spec == "demo":
        from soulstream_engine.audio.paced import DemoSource

        return DemoSource(play=play, loop=True if loop is None else loop)
    if spec == "mic" or spec.startswith(MICROPHONE_PREFIX):
        from soulstream_engine.audio.microphone import MicrophoneSource

        name = spec.removeprefix(MICROPHONE_PREFIX) if spec != "mic" else None
        if name == "":
            raise ConfigError("CONFIG_AUDIO", "--audio 'mic:' has no device name.", "Use mic, or mic:NAME.")
        return MicrophoneSource(name)
    if spec == "-":
        from soulstream_engine.audio.pipe import PipeSource, parse_pipe_format

        samples_look_like = parse_pipe_format(pipe_format)
        return PipeSource(_standard_input(), samples_look_like)
    if not spec.strip():
        raise ConfigError("CONFIG_AUDIO", "--audio is empty.", "Use demo, mic, mic:NAME, - or a sound file.")
    from soulstream_engine.audio.paced import FileSource

    return FileSource(spec, play=play, loop=bool(loop))


def _standard_input() -> int:
    """Descriptor of standard input, which must not be a terminal."""
    try:
        descriptor = sys.stdin.fileno()
        is_terminal = os.isatty(descriptor)
    except (AttributeError, OSError, ValueError) as error:
        raise AudioError(
            "AUDIO_PIPE_MISSING", "Standard input is closed.", "Pipe raw samples in, or name a file."
        ) from error
    if is_terminal:
        raise AudioError(
            "AUDIO_PIPE_MISSING",
            "Standard input is a terminal, not a pipe with raw samples.",
            "For example: arecord -f S16_LE -r 48000 -c 1 | soulstream run --audio -",
        )
    return descriptor
