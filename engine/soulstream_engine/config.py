"""Settings of a performance: one frozen tree, the only place where defaults are written.

Sources, later wins: the defaults here, a TOML file, environment variables (``SOULSTREAM_OSC__FPS=60``), the command
line. Everything wrong is reported at once, with its origin. Not for: facts about the model (the manifest has them).
Builders turn this tree into plain arguments; it never enters a class of the engine.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from soulstream_engine.clock import MAX_AUDIO_OFFSET_MS, MAX_SESSION_S
from soulstream_engine.errors import ConfigError
from soulstream_engine.validation import describe

ENV_PREFIX = "SOULSTREAM_"
"""Environment variables of ours: the prefix, then section and key joined by two underscores."""

MAX_FILE_BYTES = 100_000
"""Longest settings file accepted, bytes. Source: ours."""


def _number(value: Any) -> Any:
    """Variables are text; a choice of numbers takes digits too."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AudioConfig(_Section):
    """What is heard.

    ``source`` is ``mic``, ``mic:NAME``, ``-`` (raw PCM on standard input), ``demo`` or a file; ``pipe_format`` tells
    how that PCM looks (encoding, Hz, channels); ``offset_ms`` moves the dance against the music, positive is later;
    ``play`` makes a file or the demo track audible (unset: where there is a loudspeaker).
    """

    source: str = Field(default="mic", min_length=1)
    pipe_format: str = "s16le:48000:1"
    offset_ms: float = Field(default=0.0, ge=-MAX_AUDIO_OFFSET_MS, le=MAX_AUDIO_OFFSET_MS)
    play: bool | None = None


class OscConfig(_Section):
    """Where the dance goes (``targets``, written like ``vmc://127.0.0.1:39539``) and how often (``fps``)."""

    targets: tuple[str, ...] = ("vmc://127.0.0.1:39539",)
    fps: Annotated[Literal[30, 60, 120], BeforeValidator(_number)] = 30


class PreviewConfig(_Section):
    """The page in the browser. It is reachable from this machine only."""

    enabled: bool = True
    port: int = Field(default=8080, ge=1024, le=65535)


class ModelConfig(_Section):
    """Which model dances, and what computes it.

    ``bundle`` is its folder (the embedded one unless said), ``seed`` chooses the dance, ``backend`` computes;
    ``precision`` is for TensorRT; with ``require_backend`` no other backend may step in. ``tick_tokens`` of motion (133
    ms each) are decided at a time: fewer react sooner and cost more (unset: as the bundle wants).
    """

    bundle: str | None = None
    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    backend: Literal["onnxruntime", "openvino", "tensorrt", "tensorrt-rtx"] = "onnxruntime"
    precision: Literal["fp16", "fp32"] = "fp16"
    require_backend: bool = False
    tick_tokens: int | None = Field(default=None, ge=1, le=64)


class SessionConfig(_Section):
    """How long it lasts: ``seconds`` of dance, or until Ctrl-C when not given."""

    seconds: float | None = Field(default=None, gt=0.0, le=MAX_SESSION_S)


class Config(_Section):
    """All settings of a performance."""

    audio: AudioConfig = Field(default_factory=AudioConfig)
    osc: OscConfig = Field(default_factory=OscConfig)
    preview: PreviewConfig = Field(default_factory=PreviewConfig)
    model: ModelConfig = Field(default_factory=ModelConfig)
    session: SessionConfig = Field(default_factory=SessionConfig)


def resolve(
    *,
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
) -> tuple[Config, dict[str, str]]:
    """Merges all sources of settings.

    Args:
        file: TOML file with the sections of ``Config``.
        environ: Environment variables; only those that start with ``ENV_PREFIX`` and name a section count.
        options: From the command line by dotted key (``osc.fps``); ``None`` values mean "not given".

    Returns:
        The settings, and for each dotted key where its value came from (``default``, the file, the variable ...).

    Raises:
        ConfigError: With every unknown key and every wrong value at once.
    """
    tree: dict[str, Any] = {}
    origins: dict[str, str] = {}
    if file is not None:
        for key, value in _flatten(_read_toml(file)).items():
            _put(tree, origins, key, value, str(file))
    for variable, text in sorted((environ or {}).items()):
        if variable.startswith(ENV_PREFIX) and "__" in variable:
            key = variable.removeprefix(ENV_PREFIX).lower().replace("__", ".", 1)
            _put(tree, origins, key, _from_text(key, text), variable)
    for key, value in (options or {}).items():
        if value is not None:
            _put(tree, origins, key, value, "command line")
    try:
        config = Config.model_validate(tree)
    except ValidationError as error:
        lines = [_with_origin(line, origins) for line in describe(Config, error)]
        listed = "\n  ".join(lines)
        raise ConfigError(
            "CONFIG_INVALID",
            f"{len(lines)} setting(s) cannot be used:\n  {listed}\n",
            "'soulstream run --help' explains them.",
        ) from error
    for key in _flatten(config.model_dump()):
        origins.setdefault(key, "default")
    return config, origins


def describe_settings(config: Config, origins: Mapping[str, str]) -> str:
    """The whole tree as TOML, each line with where its value came from; what ``--print-config`` shows."""
    lines: list[str] = []
    for section, values in config.model_dump().items():
        lines.append(f"[{section}]")
        for key, value in values.items():
            origin = origins.get(f"{section}.{key}", "default")
            lines.append(f"# {key} is not set  ({origin})" if value is None else f"{key} = {_toml(value)}  # {origin}")
        lines.append("")
    return "\n".join(lines)


def _read_toml(file: Path) -> dict[str, Any]:
    hint = "Write sections such as [osc] and keys such as fps = 60; 'soulstream run --print-config' shows all of them."
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(
                "CONFIG_FILE", f"'{file}' has {file.stat().st_size} bytes, {MAX_FILE_BYTES} are allowed.", hint
            )
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            "CONFIG_FILE", f"Settings file '{file}' cannot be read: {error.strerror}.", "Check the path."
        ) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError("CONFIG_FILE", f"'{file}' is not valid TOML: {error}.", hint) from error


def _flatten(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Section.key -> value; what is not inside a section keeps its bare name and is refused by the model."""
    flat: dict[str, Any] = {}
    for section, values in tree.items():
        if isinstance(values, Mapping):
            flat.update({f"{section}.{key}": value for key, value in values.items()})
        else:
            flat[section] = values
    return flat


def _put(tree: dict[str, Any], origins: dict[str, str], key: str, value: Any, origin: str) -> None:
    section, _, name = key.partition(".")
    if not name:
        tree[section] = value
    elif isinstance(tree.setdefault(section, {}), dict):
        tree[section][name] = value
    origins[key] = origin


def _from_text(key: str, text: str) -> Any:
    """Lists are written with commas in a variable; everything else is converted by the model."""
    return tuple(part.strip() for part in text.split(",")) if key == "osc.targets" else text


def _with_origin(line: str, origins: Mapping[str, str]) -> str:
    key = line.partition(":")[0]
    origin = origins.get(key) or origins.get(".".join(key.split(".")[:2]))
    return f"{line} (from {origin})" if origin else line


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)
