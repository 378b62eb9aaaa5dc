from __future__ import annotations

import re
import shutil
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes.motion_store import FRAMES, write_motion

from soulstream_engine.errors import ConfigError
from soulstream_engine.motion.representation import BODY_DIM
from soulstream_training.data import programs
from soulstream_training.data.store import read_index, write_index
from soulstream_training.evaluation.tokenizer_figures import choose_stretches, liveliest, write_tokenizer_results
from soulstream_training.evaluation.tokenizer_table import STUDIO_FORMATS, TestSet, load_test_set, tokenizer_row
from soulstream_training.models.hrvq import Hrvq, preset
from soulstream_training.recipes.hrvq import KINDS
from soulstream_training.recipes.motion_rows import Stretch

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
TestSet.__test__ = False  # type: ignore[attr-defined]  # its name is not that of a test


@pytest.fixture(scope="module")
def tests(tmp_path_factory: pytest.TempPathFactory) -> TestSet:
    store = tmp_path_factory.mktemp("results") / "motion"
    write_motion(store)
    write_index(store, [replace(entry, format=STUDIO_FORMATS[0]) for entry in read_index(store)])
    return load_test_set(store, "test")


@pytest.fixture(scope="module")
def models() -> dict[str, Hrvq]:
    torch.manual_seed(0)
    models = {kind: Hrvq(preset(kind, size="toy")).eval() for kind in KINDS}
    for model in models.values():
        for part in model.quantizer.books:
            for book in part:  # type: ignore[attr-defined]
                book.codes.normal_()
    return models


def stretch(clip_id: str, style: str, frames: int = 30) -> Stretch:
    return Stretch(clip_id, style, "test", False, 0, np.zeros((frames, BODY_DIM), np.float32))


def of_styles(*stretches: Stretch) -> TestSet:
    by_style: dict[str, list[Stretch]] = {}
    for item in stretches:
        by_style.setdefault(item.style, []).append(item)
    return TestSet(by_style, [])


def test_one_clip_of_each_group_is_shown_the_longest() -> None:
    tests = of_styles(
        stretch("a", "macarena"), stretch("b", "salsa"), stretch("c", "salsa", 50), stretch("d", "russian"),
        stretch("e", "ballet", 90),
    )  # fmt: skip
    assert [item.clip_id for item in choose_stretches(tests)] == ["c", "d", "a"]


def test_other_styles_are_shown_where_there_is_none_of_these() -> None:
    tests = of_styles(*(stretch(style, style) for style in ("ballet", "disco", "waltz", "zumba")))
    assert [item.clip_id for item in choose_stretches(tests)] == ["ballet", "disco", "waltz"]


def test_clips_can_be_asked_for() -> None:
    tests = of_styles(stretch("a", "salsa"), stretch("b", "salsa", 40))
    tests.others.append((stretch("g1", "disco"), np.ones(22, np.bool_)))
    assert [item.clip_id for item in choose_stretches(tests, ["g1", "a"])] == ["g1", "a"]
    with pytest.raises(ConfigError, match="No clip c, d among the 3 stretches") as caught:
        choose_stretches(tests, ["a", "d", "c"])
    assert caught.value.code == "CLIP_UNKNOWN"


def test_the_liveliest_part_is_found(tests: TestSet) -> None:
    rows = np.repeat(tests.studio[0].rows[:1], 100, axis=0)
    rows[:, :3] = 0.0
    rows[60:70, 1] = 0.1  # walks
    part = liveliest(rows, 20)
    assert part.stop - part.start == 20
    assert part.start <= 60 and part.stop >= 70
    assert liveliest(rows, 200) == slice(0, 100)


@needs_ffmpeg
def test_a_page_with_all_that_it_shows(tests: TestSet, models: dict[str, Hrvq], tmp_path: Path) -> None:
    numbers = {name: tokenizer_row(model, tests) for name, model in models.items()}
    said: list[str] = []
    files = write_tokenizer_results(models, tests, numbers, tmp_path / "a", said.append, seconds=1.0)
    names = ["usage.png", "levels.png", *(f"clip_3_{kind}" for kind in ("poses.png", "heights.png", "film.mp4"))]
    assert [path.name for path in files] == [*names, "clip_3_film.png", "index.md"]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == sorted(path.name for path in files)
    for path in files:
        content = path.read_bytes()
        if path.suffix == ".png":
            assert content.startswith(b"\x89PNG") and len(content) < 300_000
            assert min(struct.unpack(">II", content[16:24])) > 200
    assert said[0] == "Counting codes of hrvq" and said[-1] == "Filming clip_3"

    page = files[-1].read_text(encoding="utf-8")
    links = set(re.findall(r"\]\(([^)]+)\)", page))
    assert links == {path.name for path in files[:-1]}
    assert f"1 clip ({(FRAMES - 1) / 1800:.1f} minutes) of the test split" in page
    assert "encoded and decoded by hrvq, rvq, rvq18, vq512, vq1024." in page
    assert "The hands were made by rule, not captured." in page
    rows = {line.split(" | ")[0]: line.split(" | ") for line in page.splitlines() if line.startswith("| ")}
    assert set(rows) == {"| tokenizer", *(f"| {kind}" for kind in KINDS)}
    first = page.index("| hrvq | ")
    assert page[first:].startswith(f"| hrvq | {numbers['hrvq']['all']} | {numbers['hrvq']['body']} | ")

    again = write_tokenizer_results(models, tests, numbers, tmp_path / "b", seconds=1.0)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in files]


@needs_ffmpeg
def test_the_numbers_may_be_missing(tests: TestSet, models: dict[str, Hrvq], tmp_path: Path) -> None:
    *_, index = write_tokenizer_results({"vq512": models["vq512"]}, tests, {}, tmp_path, seconds=0.1)
    assert "|" not in index.read_text(encoding="utf-8")


def test_nothing_to_show_is_refused(
    tests: TestSet, models: dict[str, Hrvq], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs.shutil, "which", lambda name: f"/{name}")
    with pytest.raises(ConfigError, match="0 tokenizers and 1 stretches of motion: nothing to show"):
        write_tokenizer_results({}, tests, {}, tmp_path / "out")
    with pytest.raises(ConfigError, match="5 tokenizers and 0 stretches"):
        write_tokenizer_results(models, TestSet({}, []), {}, tmp_path / "out")
    body = {"hrvq": Hrvq(preset("hrvq", size="toy", face_space="body")).eval()}
    with pytest.raises(ConfigError, match="takes 263 features, the rows have 675"):
        write_tokenizer_results(body, tests, {}, tmp_path / "out")
    with pytest.raises(ValueError, match="training mode"):
        write_tokenizer_results({"hrvq": Hrvq(preset("hrvq", size="toy"))}, tests, {}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_missing_encoder_is_found_before_the_work_begins(
    tests: TestSet, models: dict[str, Hrvq], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs.shutil, "which", lambda name: None)
    with pytest.raises(ConfigError, match="ffmpeg"):
        write_tokenizer_results(models, tests, {}, tmp_path / "out", pytest.fail)
    assert not (tmp_path / "out").exists()
