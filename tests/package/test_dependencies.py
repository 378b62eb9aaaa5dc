"""What the code imports is what an installation brings; nothing works only because something was installed by hand."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
IMPORT = re.compile(r"(?:^|[\"';]|\\n)\s*(?:from|import)\s+(\w+)", re.MULTILINE)  # also in code that tests pass on
EXTRAS = {
    "engine": ("openvino", "rtx", "tensorrt"),  # each in its own backend, which says what to install where it lacks
    "export": ("export", "train"),
    "training": ("train",),
    "tests": ("export", "train", "dev", "rtx"),
}


def declared(extras: tuple[str, ...]) -> set[str]:
    lists = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][extra] for extra in extras)]
    names = [re.split(r"[<>=!~\[; ]", entry)[0] for entries in lists for entry in entries]
    return {name.lower().replace("_", "-") for name in names} | {PROJECT["name"]}


@pytest.mark.parametrize("root", EXTRAS)
def test_every_import_is_declared(root: str) -> None:
    installed = packages_distributions()
    allowed = declared(EXTRAS[root])
    wrong = {}
    for path in (REPOSITORY / root).rglob("*.py"):
        for name in IMPORT.findall(path.read_text(encoding="utf-8")):
            owners = {owner.lower().replace("_", "-") for owner in installed.get(name, ())}
            if owners and not owners & allowed:
                wrong[f"{path.relative_to(REPOSITORY)}: {name}"] = sorted(owners)
    assert wrong == {}


def test_clients_need_nothing_but_python() -> None:
    installed = packages_distributions()
    for path in (REPOSITORY / "clients" / "soulstream_clients").rglob("*.py"):
        names = set(IMPORT.findall(path.read_text(encoding="utf-8"))) - {"soulstream_clients"}
        assert not names & set(installed), path.name
