"""Turns a failed validation into lines a person can act on: key, value, what is allowed, nearest known key.

Used for manifests and for settings. Not for: deciding what is valid (the pydantic models do that).
"""

from __future__ import annotations

import difflib
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

MAX_VALUE_CHARS = 60
"""Longest value quoted in a message, characters. Source: ours, one terminal line."""


def nearest(key: str, known: list[str]) -> str:
    """A hint that names the known key most like ``key``, or lists all when none is close."""
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(sorted(known))}"


def describe(model: type[BaseModel], error: ValidationError) -> list[str]:
    """One line for each problem in ``error``, all of them, in the order of the document.

    Args:
        model: The model that was validated; used to find the nearest known key.
        error: What pydantic raised.

    Returns:
        Lines such as ``sampler.iteratons: unknown key; did you mean 'iterations'?``.
    """
    lines = []
    for item in error.errors(include_url=False, include_context=False):
        where = ".".join(str(part) for part in item["loc"]) or "(document)"
        if item["type"] == "extra_forbidden":
            known = _keys_at(model, tuple(item["loc"][:-1]))
            lines.append(f"{where}: unknown key; {nearest(str(item['loc'][-1]), known)}")
        elif item["type"] == "missing":
            lines.append(f"{where}: missing")
        else:
            lines.append(f"{where}: {_first_lower(item['msg'])}, got {_short(item['input'])}")
    return lines


def _keys_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Field names of the model reached by following ``path`` from ``model``."""
    current: type[BaseModel] | None = model
    for part in path:
        if current is None:
            return []
        field = current.model_fields.get(str(part))
        if field is not None:
            current = _inner_model(field.annotation)
    return list(current.model_fields) if current is not None else []


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    """The pydantic model inside ``X``, ``X | None``, ``tuple[X, ...]`` or ``dict[str, X]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in get_args(annotation):
        found = _inner_model(inner)
        if found is not None:
            return found
    return None


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= MAX_VALUE_CHARS else text[: MAX_VALUE_CHARS - 3] + "..."


def _first_lower(text: str) -> str:
    return text[:1].lower() + text[1:]
