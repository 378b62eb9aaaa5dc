"""Promises about the source itself: readable sizes, no traces of a particular computer, links that lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
CODE = [
    path
    for folder in ("engine", "export", "training", "clients", "tests")
    for path in sorted((REPOSITORY / folder).rglob("*.py"))
]
DOCUMENTS = sorted(
    path
    for folder in (".", "docs", "docs/adr", "engine", "export", "training", "clients", "clients/*")
    for path in REPOSITORY.glob(f"{folder}/*.md")
)
TEXTS = [*CODE, *DOCUMENTS, REPOSITORY / "Makefile", REPOSITORY / ".ci" / "run", REPOSITORY / "pyproject.toml"]

MAX_LINES = 450
PERSONAL_PATH = re.compile(r"""(?<![\w.:/])/(?:home|root|work|Users|mnt|media|data|opt|tmp)/[\w.-]""")
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)")


def test_no_file_is_longer_than_one_idea() -> None:
    long = {
        str(path.relative_to(REPOSITORY)): lines
        for path in CODE
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MAX_LINES
    }
    assert long == {}


def test_no_text_names_a_folder_of_somebody_s_computer() -> None:
    found = {
        f"{path.relative_to(REPOSITORY)}:{number}": line.strip()
        for path in TEXTS
        if path != Path(__file__).resolve()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if PERSONAL_PATH.search(line)
    }
    assert found == {}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_links_in_documents_lead_somewhere(document: Path) -> None:
    missing = [target for target in LINK.findall(document.read_text()) if not (document.parent / target).exists()]
    assert missing == []


def test_the_import_contracts_hold() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_engine_plays_without_torch() -> None:
    code = (
        "import importlib, pkgutil, sys, soulstream_engine\n"
        "class NoTorch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'torch': raise ImportError('torch is not here')\n"
        "sys.meta_path.insert(0, NoTorch())\n"
        "for module in pkgutil.walk_packages(soulstream_engine.__path__, 'soulstream_engine.'):\n"
        "    importlib.import_module(module.name)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_bundles_are_small_and_hold_no_motion() -> None:
    folder = REPOSITORY / "engine" / "soulstream_engine" / "bundles"
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix not in {".py", ".pyc"}]
    assert sum(path.stat().st_size for path in files) <= 25_000_000
    assert {path.suffix for path in files} <= {".onnx", ".npz", ".json", ".md", ".safetensors"}
