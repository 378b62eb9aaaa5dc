"""Where the dance goes: ``vmc://HOST:PORT?option=value`` parsed into a checked target. No name is resolved here."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import SplitResult, parse_qsl, urlsplit

from soulstream_engine.errors import ConfigError

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 39539
"""Port on which VMC receivers listen. Source: VMC protocol, performer to marionette."""

_EXAMPLE = "Write it like vmc://127.0.0.1:39539."


class RootMotion(Enum):
    """Which message carries the dancer's travel; the composed world pose is the same in all three.

    ``HIPS``: the root stays at the origin and ``Hips`` carries everything. The default, because every receiver applies
    ``Hips`` while some ignore the root. ``ROOT``: the root carries travel and height, ``Hips`` keeps its rest position.
    ``SPLIT``: the root carries the travel over the floor, ``Hips`` the height; for Live Link and character controllers.
    """

    HIPS = "hips"
    ROOT = "root"
    SPLIT = "split"


class FaceNames(Enum):
    """Which blend shapes are sent.

    ``PASCAL`` and ``CAMEL``: all 52 of ARKit, as ``JawOpen`` (what avatars with them carry) or as Apple's ``jawOpen``.
    ``VRM0`` and ``VRM1``: blinks and open vowels by the names that every VRM avatar has (``Blink_L``, ``blinkLeft``).
    """

    PASCAL = "pascal"
    CAMEL = "camel"
    VRM0 = "vrm0"
    VRM1 = "vrm1"


@dataclass(frozen=True, slots=True)
class VmcOptions:
    """How a VMC stream is written.

    Args:
        root: Which message carries the travel.
        names: Which blend shapes, in which spelling.
        is_mirrored: Whether the dancer is seen as in a mirror (left and right change places).
        is_bundled: Whether messages travel in bundles; ``False`` sends each alone, for receivers without bundles.
    """

    root: RootMotion = RootMotion.HIPS
    names: FaceNames = FaceNames.PASCAL
    is_mirrored: bool = False
    is_bundled: bool = True


@dataclass(frozen=True, slots=True)
class VmcTarget:
    """A receiver: host (a name or an address, not yet resolved), UDP port 1..65535 and the stream's options."""

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    options: VmcOptions = field(default_factory=VmcOptions)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"vmc://{host}:{self.port}"


def parse_target(url: str) -> VmcTarget:
    """Read a target such as ``vmc://192.168.0.20:39540?root=split&names=camel&mirror=yes&bundle=no``.

    Host and port may be left out (``vmc://``).

    Raises:
        ConfigError: If the scheme, port, path, or an option is unknown or out of range.
    """
    try:
        parts = urlsplit(url.strip())
    except ValueError as error:
        raise ConfigError("OSC_TARGET_INVALID", f"OSC target {url!r} is not a URL ({error}).", _EXAMPLE) from error
    if parts.scheme != "vmc":
        scheme = parts.scheme or "none"
        raise ConfigError("OSC_SCHEME_UNKNOWN", f"OSC target {url!r} has scheme {scheme!r}; known: 'vmc'.", _EXAMPLE)
    if parts.path not in ("", "/") or parts.username is not None or parts.fragment:
        raise ConfigError("OSC_TARGET_INVALID", f"OSC target {url!r} has more than host, port and options.", _EXAMPLE)
    return VmcTarget(parts.hostname or DEFAULT_HOST, _port(url, parts), _options(url, parts.query))


def _port(url: str, parts: SplitResult) -> int:
    """The port of a URL, or the default."""
    text = parts.netloc.rpartition("]")[2].partition(":")[2] if "]" in parts.netloc else parts.netloc.partition(":")[2]
    if not text:
        return DEFAULT_PORT
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= 65535):
        raise ConfigError(
            "OSC_PORT_INVALID", f"OSC target {url!r} has port {text!r}; the range is 1 to 65535.", _EXAMPLE
        )
    return int(text)


def _options(url: str, query: str) -> VmcOptions:
    """The options after the question mark; every mistake is reported at once."""
    choices: dict[str, dict[str, tuple[str, object]]] = {
        "root": {mode.value: ("root", mode) for mode in RootMotion},
        "names": {names.value: ("names", names) for names in FaceNames},
        "mirror": {"yes": ("is_mirrored", True), "no": ("is_mirrored", False)},
        "bundle": {"yes": ("is_bundled", True), "no": ("is_bundled", False)},
    }
    found: dict[str, object] = {}
    problems: list[str] = []
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in choices:
            problems.append(f"option {key!r} is unknown (known: {', '.join(choices)})")
        elif value not in choices[key]:
            problems.append(f"{key}={value!r} is not one of {', '.join(choices[key])}")
        else:
            name, setting = choices[key][value]
            found[name] = setting
    if problems:
        raise ConfigError("OSC_OPTION_INVALID", f"OSC target {url!r}: {'; '.join(problems)}.", _EXAMPLE)
    return VmcOptions(**found)  # type: ignore[arg-type]
