"""Keeps what a model learned from apart from what it, or a model beside it, is judged on.

Weights carry a list of what they were trained on: recordings and songs by what their files hold, however they are
called and were prepared, takes by a name that all who dance together share. A judge that has seen the motion it is to
judge, the retrieval model for one, flatters it; so does a tokenizer measured on a partner of a dancer it knows. Not for
splits of one store (``summary.find_leaks``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from soulstream_engine.errors import ConfigError
from soulstream_training.data.store import ClipEntry

Learned = Mapping[str, Sequence[str]]
"""``recordings``, ``takes`` and ``songs`` that a model was trained on, each sorted."""

_HASH_LETTERS = 16


def learned_from(entries: Iterable[ClipEntry]) -> dict[str, list[str]]:
    """What weights say of the clips they were trained on.

    Args:
        entries: The clips.

    Returns:
        Plain lists for the JSON beside the weights.
    """
    found: dict[str, set[str]] = {"recordings": set(), "takes": set(), "songs": set()}
    for entry in entries:
        for kind, key in _keys(entry):
            found[kind].add(key)
    return {kind: sorted(keys) for kind, keys in found.items()}


def united(*learned: Learned) -> dict[str, list[str]]:
    """What weights say that were trained more than once, or on what other weights gave.

    Args:
        learned: One list for each training.

    Returns:
        All of them together.
    """
    kinds = {kind for item in learned for kind in item}
    return {kind: sorted({key for item in learned for key in item.get(kind, ())}) for kind in sorted(kinds)}


def knows(learned: Learned, entry: ClipEntry) -> bool:
    """Whether a clip's recording, take or song is among what a model was trained on."""
    return any(key in learned.get(kind, ()) for kind, key in _keys(entry))


def check_apart(learned: Learned, judged: Iterable[ClipEntry], what: str) -> None:
    """Refuses to judge a model on what it, or its judge, was trained on.

    Args:
        learned: Of the weights' JSON; weights from before there was such a list say nothing and pass.
        judged: The clips that are to be judged on.
        what: Name of the model, for the error.

    Raises:
        ConfigError: If a recording, a take or a song is in both; names them.
    """
    known = {kind: set(keys) for kind, keys in learned.items()}
    shared = [
        f"{entry.clip_id} ({kind.removesuffix('s')})"
        for entry in judged
        for kind in dict.fromkeys(kind for kind, key in _keys(entry) if key in known.get(kind, ()))
    ]
    if shared:
        shown = ", ".join(shared[:5]) + (f" and {len(shared) - 5} more" if len(shared) > 5 else "")
        raise ConfigError(
            "JUDGED_BY_WHAT_WAS_LEARNED",
            f"{what} was trained on {shown}, which it is to be judged on.",
            "Train it without them, or judge on another split.",
        )


def _keys(entry: ClipEntry) -> list[tuple[str, str]]:
    """What a clip shares with others: its recording, its take if it has a partner, its song if there is one.

    Stores and weights from before content was hashed know recordings by what the clip was made from, takes by two
    dancers and songs by their path; these keys are kept, so that they still meet.
    """
    pair = "+".join(sorted((entry.clip_id, entry.partner_id))) if entry.partner_id else ""
    keys = [
        ("recordings", _short(entry.recording)),
        ("recordings", entry.input_hash[:_HASH_LETTERS]),
        ("takes", entry.take),
        ("takes", pair),
        ("songs", entry.song[:_HASH_LETTERS] or entry.music),
    ]
    return [(kind, key) for kind, key in keys if key]


def _short(recording: str) -> str:
    """A recording's hash with fewer letters, and its dancer."""
    content, dot, dancer = recording.partition(".")
    return content[:_HASH_LETTERS] + dot + dancer
