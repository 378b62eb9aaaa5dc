from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from soulstream_engine.errors import ConfigError
from soulstream_engine.manifest import Sampler
from soulstream_export.cli import read_facts

CONFIGS = Path(__file__).resolve().parents[3] / "training" / "configs"


def test_facts_of_the_bundle_that_ships_are_complete() -> None:
    facts = read_facts(CONFIGS / "bundle.toml")
    assert facts.model_id
    assert facts.licence == "GPL-3.0-or-later"
    assert set(facts.not_generated) == {"hands", "face"}
    assert any("mocap.cs.cmu.edu" in notice for notice in facts.notices)
    assert any("Groove" in notice for notice in facts.notices)
    sizes = {"context_tokens": 24, "planned_tokens": 8, "commit_tokens": 2}
    assert Sampler.model_validate(sizes | facts.sampler).lead_frames == facts.sampler["lead_frames"]


@pytest.mark.parametrize(
    "text", ["model_id = 3 = 4", 'model_id = "toy"', 'model_id = "toy"\nnotices = []\nwrong = 1', None]
)
def test_facts_that_cannot_be_read_are_refused(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "facts.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=r"facts\.toml") as caught:
        read_facts(path)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("package", "arguments"),
    [
        ("torch", ["verify", "somewhere"]),
        ("onnx", ["verify", "somewhere"]),
        ("onnx", ["quantise", "somewhere", "out", "--to", "fp16"]),
        ("onnxscript", ["bundle", "out", "--random", "toy"]),
    ],
)
def test_without_the_extras_the_remedy_is_named(package: str, arguments: list[str], tmp_path: Path) -> None:
    code = (
        f"import sys; sys.modules[{package!r}] = None; sys.argv[1:] = {arguments!r}\n"
        "from soulstream_export.cli import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == ConfigError.exit_code, done.stderr
    assert "Traceback" not in done.stderr
    assert f"{package} cannot be imported" in done.stderr
    assert "pip install 'soulstream[export,train]'" in done.stderr


def test_an_import_that_fails_by_a_bug_is_shown_whole() -> None:
    code = (
        "from soulstream_export import cli\n"
        "def fails(): import soulstream_export.not_there\n"
        "cli.app = fails\n"
        "cli.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ModuleNotFoundError" in done.stderr
