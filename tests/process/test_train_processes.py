"""Training on two processes is training on one: same losses, same codes, and it resumes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from fakes import train_witness
from fakes.motion_store import write_motion, write_music
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from soulstream_training.cli.common import read_section
from soulstream_training.recipes.hrvq import HrvqRecipe, train_hrvq

pytestmark = pytest.mark.slow

SAME = 1e-4
"""Largest relative difference between one process and two. Only the order of float32 sums differs: measured 1e-7 of
the loss and 3e-6 of the weights after 40 steps; gradients or codebooks of one share alone are off by 1e-2 after 12."""

CONFIG = """
[hrvq]
steps = 40
batch = 8
frames = 32
rate = 1e-2
validate_every = 10
bf16 = false
save_every_s = 1e9

[hrvq.model]
width = 32
code_dim = 16
num_codes = 16
levels = 3
dilations = [3, 1]
quantiser_dropout = 0.5
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("processes") / "store"
    write_motion(folder)
    write_music(folder.parent / "music")
    return folder


def launch(home: Path, *command: str) -> str:
    """Run a command on two processes that talk over 127.0.0.1; what it printed."""
    scripts = Path(sys.executable).parent
    program, options = str(scripts / "accelerate"), ["--multi_gpu", "--num_processes", "2", "--main_process_port", "0"]
    here = {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    here |= {"HF_HOME": str(home), "GLOO_SOCKET_IFNAME": "lo" if sys.platform == "linux" else "lo0"}
    done = subprocess.run(
        [program, "launch", *options, *command],
        env={**os.environ, **here},
        capture_output=True,
        timeout=120,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def difference(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Largest difference, as a share of the largest number."""
    ours, theirs = ours.double(), theirs.double()
    return float((ours - theirs).abs().max() / ours.abs().max().clamp(min=1e-12))


def test_the_command_trains_on_two_processes_what_it_trains_on_one(store: Path, tmp_path: Path) -> None:
    config, music = tmp_path / "toy.toml", store.parent / "music"
    config.write_text(CONFIG)
    two, one = tmp_path / "two" / "hrvq", tmp_path / "one"
    printed = launch(
        tmp_path, "--no_python", "soulstream-train", "hrvq", "--config", str(config), "--store", str(store),
        "--music", str(music), "--runs", str(two.parent), "--weights", str(tmp_path / "weights"),
    )  # fmt: skip
    assert printed.count("training on 2 processes") == 1
    train_hrvq(read_section(config, "hrvq", HrvqRecipe), store, music, one)

    logs = []
    for folder in (one, two):
        log = EventAccumulator(str(folder / "log")).Reload()
        logs.append({tag: [(e.step, e.value) for e in log.Scalars(tag)] for tag in log.Tags()["scalars"]})
    assert [step for step, _ in logs[1]["train/loss"]] == [20, 40]
    assert [step for step, _ in logs[1]["val/mpjpe_body_mm"]] == [10, 20, 30, 40, 40]
    for tag in ("train/loss", "train/mm", "val/mpjpe_body_mm"):
        assert logs[1][tag] == [(step, pytest.approx(value, rel=SAME)) for step, value in logs[0][tag]], tag

    ours, theirs = load_file(one / "last.safetensors"), load_file(two / "last.safetensors")
    assert ours.keys() == theirs.keys()
    assert torch.equal(ours["random/data"], theirs["random/data"])  # as many random numbers were used
    wrong = {key: off for key, value in ours.items() if (off := difference(value, theirs[key])) > SAME}
    assert not wrong
    best = json.loads((two / "best.json").read_text())
    assert best["step"] == json.loads((one / "best.json").read_text())["step"]
    assert (tmp_path / "weights" / "hrvq.safetensors").is_file()


def test_processes_share_their_codebooks_and_resume_bit_for_bit(store: Path, tmp_path: Path) -> None:
    launch(tmp_path, str(Path(train_witness.__file__)), str(store), str(tmp_path))
    seen = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(2)]
    tables = [load_file(tmp_path / f"rank{rank}.safetensors")["tables"] for rank in range(2)]
    assert [entry["processes"] for entry in seen] == [2, 2]
    assert seen[0]["losses"] != seen[1]["losses"]  # each saw its own half
    assert torch.equal(tables[0], tables[1])

    losses, alone = train_witness.trained(store, tmp_path / "alone")
    assert len(losses) == train_witness.STEPS
    halves = zip(seen[0]["losses"], seen[1]["losses"], strict=True)
    assert [(left + right) / 2 for left, right in halves] == pytest.approx(losses, rel=SAME)
    assert difference(alone, tables[0]) < SAME

    for entry in seen:
        assert entry["rest"] == entry["losses"][train_witness.STOP_AT :]
    whole, parts = (load_file(tmp_path / name / "last.safetensors") for name in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    for key, value in whole.items():
        assert torch.equal(value, parts[key]), key
