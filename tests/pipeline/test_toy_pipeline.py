"""From recordings on disk to a dancer: train, resume, export and play, by the commands a user would type."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fakes.motion_store import write_motion, write_music
from fakes.toy_bundle import beat_track
from typer.testing import CliRunner

from soulstream_engine.bundle import load_bundle
from soulstream_engine.clock import FPS
from soulstream_engine.runtime.render import render_song
from soulstream_export.cli import app as export_app
from soulstream_training.cli import app as train_app

CONFIGS = Path(__file__).resolve().parents[2] / "training" / "configs"

FACTS = """
model_id = "toy"
created_from = "Motion and music made up by a test."
notices = []

[sampler]
lead_frames = 8
iterations = 3
guidance = 2.0
"""


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Recipes set the number of threads; give it back."""
    import torch

    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def run(app: object, *arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)  # type: ignore[arg-type]
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.slow
def test_train_resume_export_play(tmp_path: Path) -> None:
    store, music, runs, weights = (tmp_path / name for name in ("store", "music", "runs", "weights"))
    write_motion(store)
    write_music(music)
    config = CONFIGS / "toy.toml"
    longer = tmp_path / "longer.toml"
    longer.write_text(config.read_text().replace("steps = 4", "steps = 6"))
    folders = ["--store", str(store), "--runs", str(runs), "--weights", str(weights)]

    for settings, steps in ((config, 4), (longer, 6)):
        run(train_app, "hrvq", "--config", str(settings), "--music", str(music), *folders)
        assert json.loads((runs / "hrvq" / "last.json").read_text())["step"] == steps
        assert json.loads((weights / "hrvq.json").read_text())["step"] == steps
    numbers = json.loads(
        run(train_app, "eval", "tokenizer", "--store", str(store), "--weights", str(weights), "--json").splitlines()[-1]
    )
    assert {"mpjpe_body_mm", "mean_pose_body_mm"} <= set(numbers)
    assert np.isfinite(numbers["mpjpe_body_mm"])

    for settings, steps in ((config, 4), (longer, 6)):
        for stage in ("mask", "residual"):
            run(train_app, "magm", stage, "--config", str(settings), "--music", str(music), *folders)
            assert json.loads((runs / f"magm_{stage}" / "last.json").read_text())["step"] == steps
    assert list((runs / "magm_mask" / "log").iterdir()), "no TensorBoard log was written"

    out, facts = tmp_path / "bundle", tmp_path / "facts.toml"
    facts.write_text(FACTS)
    exported = run(export_app, "bundle", str(out), "--weights", str(weights), "--facts", str(facts), "--json")
    assert json.loads(exported.splitlines()[-1])["bytes"] < 2_000_000
    assert not any(path.suffix == ".npz" for path in out.iterdir()), "a bundle holds no motion"

    take = render_song(beat_track(3.0), load_bundle(out), seed=0)
    assert take.joints_m.shape == (3 * FPS, 52, 3)
    assert np.isfinite(take.joints_m).all()
    assert sum(kind.value == "generated" for kind in take.provenance) > FPS


def test_training_on_nothing_says_what_to_do(tmp_path: Path) -> None:
    from soulstream_engine.errors import ConfigError

    folders = {"--store": tmp_path / "none", "--music": tmp_path, "--runs": tmp_path, "--weights": tmp_path}
    arguments = [text for option, folder in folders.items() for text in (option, str(folder))]
    for command in (["hrvq"], ["magm", "mask"]):
        result = CliRunner().invoke(train_app, [*command, "--config", str(CONFIGS / "toy.toml"), *arguments])
        assert isinstance(result.exception, ConfigError)
        assert result.exception.hint
    assert not (tmp_path / "hrvq").exists(), "a run that could not begin left a folder"
