"""``soulstream demo`` and ``soulstream run``: dance live."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from soulstream_engine.cli.output import print_json

Osc = Annotated[
    list[str] | None,
    typer.Option(metavar="vmc://HOST:PORT", help="Receiver; repeat for more.", show_default="vmc://127.0.0.1:39539"),
]
Fps = Annotated[int | None, typer.Option(metavar="30|60|120", help="Frames a second that are sent.", show_default="30")]
Seed = Annotated[int | None, typer.Option(help="Another seed, another dance.", show_default="0")]
Seconds = Annotated[float | None, typer.Option(help="Stop after this long.", show_default="until Ctrl-C")]
NoPreview = Annotated[bool, typer.Option("--no-preview", help="No page in the browser.")]
PreviewPort = Annotated[int | None, typer.Option(metavar="PORT", help="Port of the page.", show_default="8080")]
Bundle = Annotated[Path | None, typer.Option(metavar="FOLDER", help="Another model.", show_default="the embedded one")]
Backend = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="onnxruntime, openvino, tensorrt-rtx or tensorrt.", show_default="onnxruntime"),
]
Precision = Annotated[
    str | None, typer.Option(metavar="fp16|fp32", help="What TensorRT computes in.", show_default="fp16")
]
TickTokens = Annotated[
    int | None,
    typer.Option(metavar="1|2", help="Decide 133 or 267 ms of motion at a time.", show_default="as the model wants"),
]
RequireBackend = Annotated[
    bool, typer.Option("--require-backend", help="Stop rather than compute with another backend.")
]
Play = Annotated[
    bool | None, typer.Option("--play/--no-play", help="Make a file or the demo audible.", show_default="if possible")
]
AudioOffset = Annotated[
    float | None, typer.Option(metavar="MS", help="Dance later (+) or earlier (-), milliseconds.", show_default="0")
]
PipeFormat = Annotated[
    str | None,
    typer.Option(metavar="ENCODING:HZ:CHANNELS", help="Raw PCM on standard input.", show_default="s16le:48000:1"),
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Settings in TOML.", show_default=False)
]
PrintConfig = Annotated[bool, typer.Option("--print-config", help="Show all settings and stop.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one line of JSON last.")]


def demo(
    osc: Osc = None,
    fps: Fps = None,
    seed: Seed = None,
    audio_offset: AudioOffset = None,
    seconds: Seconds = None,
    no_preview: NoPreview = False,
    preview_port: PreviewPort = None,
    bundle: Bundle = None,
    backend: Backend = None,
    precision: Precision = None,
    require_backend: RequireBackend = False,
    tick_tokens: TickTokens = None,
    play: Play = None,
    as_json: AsJson = False,
) -> None:
    """Dance to the built-in track: a page in the browser, and VMC on UDP port 39539.

    Examples:
      soulstream demo
      soulstream demo --seconds 60 --no-preview --json

    Keys: t taps the tempo, the square brackets nudge the beat, b moves it by half a beat, x and h double and halve the
    tempo, q stops.
    """
    options = {
        "audio.source": "demo",
        "audio.offset_ms": audio_offset,
        "audio.play": play,
        "osc.targets": osc or None,
        "osc.fps": fps,
        "model.seed": seed,
        "model.bundle": None if bundle is None else str(bundle),
        "model.backend": backend,
        "model.precision": precision,
        "model.require_backend": True if require_backend else None,
        "model.tick_tokens": tick_tokens,
        "session.seconds": seconds,
        "preview.enabled": False if no_preview else None,
        "preview.port": preview_port,
    }
    _perform(options, None, as_json=as_json, print_config=False)


def run(
    audio: Annotated[
        str | None,
        typer.Option(metavar="mic|mic:NAME|FILE|-|demo", help="What to listen to; - is raw PCM.", show_default="mic"),
    ] = None,
    pipe_format: PipeFormat = None,
    osc: Osc = None,
    fps: Fps = None,
    seed: Seed = None,
    audio_offset: AudioOffset = None,
    seconds: Seconds = None,
    no_preview: NoPreview = False,
    preview_port: PreviewPort = None,
    bundle: Bundle = None,
    backend: Backend = None,
    precision: Precision = None,
    require_backend: RequireBackend = False,
    tick_tokens: TickTokens = None,
    play: Play = None,
    config: ConfigFile = None,
    print_config: PrintConfig = False,
    as_json: AsJson = False,
) -> None:
    """Dance to a microphone, a line input, a file or a pipe.

    Examples:
      soulstream run --audio mic --osc vmc://192.168.0.20:39539
      soulstream run --audio mic:USB --fps 60 --tick-tokens 1
      soulstream run --audio song.mp3 --seed 7
      soulstream run --audio mic --backend tensorrt-rtx
      arecord -f S16_LE -r 48000 -c 1 | soulstream run --audio -
      ffmpeg -i song.opus -f f32le -ar 44100 -ac 2 - | soulstream run --audio - --pipe-format f32le:44100:2

    Keys: t taps the tempo, the square brackets nudge the beat, b moves it by half a beat, x and h double and halve the
    tempo, q stops.
    """
    options = {
        "audio.source": audio,
        "audio.pipe_format": pipe_format,
        "audio.offset_ms": audio_offset,
        "audio.play": play,
        "osc.targets": osc or None,
        "osc.fps": fps,
        "model.seed": seed,
        "model.bundle": None if bundle is None else str(bundle),
        "model.backend": backend,
        "model.precision": precision,
        "model.require_backend": True if require_backend else None,
        "model.tick_tokens": tick_tokens,
        "session.seconds": seconds,
        "preview.enabled": False if no_preview else None,
        "preview.port": preview_port,
    }
    _perform(options, config, as_json=as_json, print_config=print_config)


def _perform(options: dict[str, Any], file: Path | None, *, as_json: bool, print_config: bool) -> None:
    from soulstream_engine.config import describe_settings, resolve

    config, origins = resolve(file=file, environ=os.environ, options=options)
    if print_config:
        sys.stdout.write(describe_settings(config, origins))
        return

    from soulstream_engine.cli.live import perform

    summary, failure = perform(config)
    if as_json:
        print_json(summary)
    if failure is not None:
        raise failure
