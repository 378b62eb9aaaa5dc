"""What the names of the files of a data set say, and the small texts that their publishers put beside them.

AIST++: ``gBR_sBM_cAll_d04_mBR0_ch01`` is genre, situation, camera, dancer, music, choreography. FineDance: ``001`` is
the song, ``M001`` its mirror image, ``001z@005`` a slice of it. Others: the name is song and take; where names end in
the number of a slice it is cut off, because slices of one take overlap. Also how names are
written into a table. Not for motion or music (``clip_table``).
Letters: none.

The basic choreographies of AIST++ are danced to every song of their genre. They do not tie clips together, or a genre
could not be divided: a step that was trained may be danced to another song in the test.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

SLICED_FORMATS = ("motionx322", "souldance322")
"""Formats whose names end in the number of a slice. Source: the slicing of SoulDance, 5 s every half second."""

IGNORE_LIST = "ignore_list.txt"

_AIST_GENRES = {
    **{"BR": "break", "PO": "pop", "LO": "lock", "MH": "middle-hip-hop", "LH": "la-hip-hop"},
    **{"HO": "house", "WA": "waack", "KR": "krump", "JS": "street-jazz", "JB": "ballet-jazz"},
}
# Genre, situation, camera, dancer, music and choreography; whatever follows is a slice. Source: AIST dance data base.
_AIST = re.compile(r"(g([A-Z]{2})_s[A-Z]{2}_c)(?:All|\d+)(_(d\d+)_(m[A-Z]{2}\d+)_ch\d+)(.*)")
_FINEDANCE = re.compile(r"M?(\d+)(z@\d+)?")
_SLICE = re.compile(r"(.+?)[ _.-]+(?:slice|part|clip|seg)?[ _-]?\d+", re.IGNORECASE)
_LABELS = "label_json"
_MAX_TEXT_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class NameFacts:
    """What the name of a file says: song, take, genre and performer (empty if it does not), and if it is a slice."""

    song: str
    take: str
    genre: str = ""
    performer: str = ""
    is_slice: bool = False


def parse_name(stem: str, format: str, *, is_sliced: bool = False) -> NameFacts:
    """Reads the name of a file.

    Args:
        stem: The name without its ending.
        format: Format of the file, as the clip table calls it.
        is_sliced: Whether names other than those of AIST++ and FineDance end in the number of a slice.

    Returns:
        What it says.
    """
    if format == "aist++" and (found := _AIST.fullmatch(stem)):
        start, genre, rest, performer, song, following = found.groups()
        return NameFacts(song, f"{start}All{rest}", _AIST_GENRES.get(genre, genre), performer, bool(following))
    if format == "finedance" and (found := _FINEDANCE.fullmatch(stem)):
        return NameFacts(found[1], found[1], is_slice=found[2] is not None)
    if is_sliced and (found := _SLICE.fullmatch(stem)):
        return NameFacts(found[1], found[1], is_slice=True)
    return NameFacts(stem, stem)


def read_genre(path: Path, song: str) -> str:
    """Reads the genre of a motion of FineDance.

    Args:
        path: The motion, for example ``motion/001.npy``.
        song: Its song, for example ``001``.

    Returns:
        ``style2``, the fine genre, of ``label_json/001.json`` beside the motion's folder; else ``style1``, the coarse
        one; empty without such a file.
    """
    try:
        document = json.loads(_read_text(path.parent.parent / _LABELS / f"{song}.json"))
    except (ValueError, RecursionError):
        return ""
    values = [document.get(key) for key in ("style2", "style1")] if isinstance(document, dict) else []
    return next((one_line(value) for value in values if isinstance(value, str) and one_line(value)), "")


def read_ignored(root: Path) -> frozenset[str]:
    """Reads which motions the publisher of AIST++ says are wrong.

    Args:
        root: Folder of the motions.

    Returns:
        Names of the ``IGNORE_LIST`` in the folder and of the one beside it, if there are any.
    """
    texts = (_read_text(folder / IGNORE_LIST) for folder in (root, root.parent))
    return frozenset(line.strip() for text in texts for line in text.splitlines() if line.strip())


def one_line(text: str) -> str:
    """A text on one line of at most 60 letters, or nothing if it cannot be printed."""
    line = " ".join(text.split())[:60]
    return line if line.isprintable() else ""


def safe_id(text: str) -> str:
    """A text as the id of a clip may be: other letters become '_'."""
    return "".join(letter if letter.isalnum() or letter in "_-." else "_" for letter in text).lstrip(".") or "clip"


def shown_path(path: Path, root: Path) -> str:
    """A path in a folder for people, whatever is in it."""
    text = path.relative_to(root).as_posix()
    return text if text.isprintable() else ascii(text)[1:-1]


def shown_reason(path: str, reason: str) -> str:
    """A path and why it is left out, without the name twice where the reason begins with it."""
    name = path.rpartition("/")[2]
    return f"{path}{reason.removeprefix(name)}" if reason.startswith(f"{name}:") else f"{path}: {reason}"


def is_table_name(relative: Path) -> bool:
    """Whether a path comes back from a table as it was."""
    text = relative.as_posix()
    return text == text.strip() and text.isprintable()


def _read_text(path: Path) -> str:
    """A small text file, or nothing if it cannot be read."""
    try:
        with path.open("rb") as stream:
            return stream.read(_MAX_TEXT_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
