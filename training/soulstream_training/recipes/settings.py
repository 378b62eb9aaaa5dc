"""Checks the inner tables of a recipe's settings against the dataclass they become.

Not for: the recipes' own keys (pydantic refuses those).
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from pydantic import TypeAdapter, ValidationError


def check_table(values: dict[str, Any], target: type[Any], without: tuple[str, ...] = ()) -> dict[str, Any]:
    """Refuse names and types that ``target`` does not have.

    Args:
        values: A table of the TOML file.
        target: Dataclass that is made of it; fields that are left out keep their defaults.
        without: Fields that are not settings.

    Returns:
        ``values``, unchanged.

    Raises:
        ValueError: With every wrong name and value, for pydantic to report beside the other mistakes.
    """
    known = sorted(field.name for field in fields(target) if field.name not in without)
    wrong = [f"unknown key {name!r}" for name in values if name not in known]
    try:
        TypeAdapter(target).validate_python({name: value for name, value in values.items() if name in known})
    except ValidationError as error:
        wrong += [f"{'.'.join(map(str, entry['loc']))}: {entry['msg']}" for entry in error.errors()]
    if wrong:
        raise ValueError(f"{', '.join(wrong)} (known: {', '.join(known)})")
    return values
