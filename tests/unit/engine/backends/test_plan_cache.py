"""Plans are kept in a private folder, found by everything they depend on, and never trusted when changed."""

from __future__ import annotations

import dataclasses
import json
import os
import stat
from pathlib import Path

import pytest

from soulstream_engine.backends import plan_cache
from soulstream_engine.backends.plan_cache import PlanCache, PlanKey, profile_text, user_cache_folder
from soulstream_engine.errors import BackendError

KEY = PlanKey(
    graph_sha256="a" * 64,
    flavour="tensorrt-rtx",
    version="1.7",
    gpu="NVIDIA GeForce RTX 4090",
    capability="8.9",
    driver="580.65.06, CUDA 13.0",
    precision="fp16",
    profile="plans=7",
    recipe=1,
)
OTHER = {
    "graph_sha256": "b" * 64,
    "flavour": "tensorrt",
    "version": "1.8",
    "gpu": "NVIDIA GeForce RTX 5090",
    "capability": "12.0",
    "driver": "590.1, CUDA 13.1",
    "precision": "fp32",
    "profile": "plans=1",
    "recipe": 2,
}
PLAN = bytes(range(256)) * 64

posix = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX permissions")


@pytest.fixture
def cache(tmp_path: Path) -> PlanCache:
    return PlanCache(tmp_path / "plans")


def files(cache: PlanCache, ending: str) -> list[Path]:
    return sorted(cache.folder.glob("*" + ending))


def test_a_plan_comes_back_as_it_was(cache: PlanCache) -> None:
    cache.store(KEY, "mask", memoryview(PLAN))
    assert cache.find(KEY, "mask") == (PLAN, "")


def test_every_component_of_the_key_is_listed_here() -> None:
    assert set(OTHER) == {field.name for field in dataclasses.fields(PlanKey)}


@pytest.mark.parametrize("component", sorted(OTHER))
def test_each_component_changes_the_key_and_is_named(component: str, cache: PlanCache) -> None:
    changed = dataclasses.replace(KEY, **{component: OTHER[component]})
    assert changed.digest != KEY.digest
    cache.store(KEY, "mask", PLAN)
    plan, reason = cache.find(changed, "mask")
    assert plan is None
    old, new = getattr(KEY, component), OTHER[component]
    short = (old[:12], new[:12]) if component == "graph_sha256" else (old, new)
    assert reason == f"{component} changed from {short[0]!r} to {short[1]!r}"


def test_the_nearest_plan_explains_what_changed(cache: PlanCache) -> None:
    cache.store(dataclasses.replace(KEY, gpu="old", capability="8.6", precision="fp32"), "mask", PLAN)
    cache.store(dataclasses.replace(KEY, driver="older", capability="8.6"), "mask", PLAN)
    assert cache.find(KEY, "mask")[1] == (
        "capability changed from '8.6' to '8.9', driver changed from 'older' to '580.65.06, CUDA 13.0'"
    )


def test_plans_of_other_steps_explain_nothing(cache: PlanCache) -> None:
    cache.store(dataclasses.replace(KEY, driver="older"), "residual", PLAN)
    assert cache.find(KEY, "mask") == (None, "there is no plan of it yet")


def test_a_plan_replaces_the_one_for_the_driver_before_and_no_other(cache: PlanCache) -> None:
    before = dataclasses.replace(KEY, driver="older", version="1.6")
    neighbours = [dataclasses.replace(KEY, **{name: OTHER[name]}) for name in ("gpu", "precision", "profile")]
    for key in (before, *neighbours):
        cache.store(key, "mask", PLAN)
    cache.store(KEY, "mask", PLAN)
    assert cache.find(before, "mask")[0] is None
    assert all(cache.find(key, "mask")[0] == PLAN for key in (KEY, *neighbours))


@pytest.mark.parametrize("damage", ["flip", "cut", "swap"])
def test_a_changed_plan_is_discarded_with_the_reason(damage: str, cache: PlanCache) -> None:
    cache.store(KEY, "mask", PLAN)
    path = files(cache, ".plan")[0]
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes({"flip": bytes(data), "cut": PLAN[:-1], "swap": b"somebody else's code"}[damage])
    assert cache.find(KEY, "mask") == (None, "its plan was changed after it was written")
    assert files(cache, ".plan") == files(cache, ".json") == []


@pytest.mark.parametrize(
    "edit",
    [
        lambda note: note["key"].update(driver="another"),
        lambda note: note["key"].pop("gpu"),
        lambda note: note.update(plan_sha256="0" * 64),
        lambda note: note.pop("plan_sha256"),
    ],
)
def test_a_note_that_was_edited_is_not_believed(edit: object, cache: PlanCache) -> None:
    cache.store(KEY, "mask", PLAN)
    path = files(cache, ".json")[0]
    note = json.loads(path.read_text())
    edit(note)  # type: ignore[operator]
    path.write_text(json.dumps(note))
    plan, reason = cache.find(KEY, "mask")
    assert plan is None
    assert reason.startswith("its plan ")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"key": 1, "step": "mask"}', "[" * 10_000])
def test_a_note_that_is_none_counts_as_missing(text: str, cache: PlanCache) -> None:
    cache.store(KEY, "mask", PLAN)
    files(cache, ".json")[0].write_text(text)
    assert cache.find(KEY, "mask") == (None, "there is no plan of it yet")


def test_a_note_without_its_plan_is_incomplete(cache: PlanCache) -> None:
    cache.store(KEY, "mask", PLAN)
    files(cache, ".plan")[0].unlink()
    assert cache.find(KEY, "mask") == (None, "its plan is incomplete or its note is for another plan")


def test_the_oldest_plans_go_when_there_are_too_many(cache: PlanCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_cache, "MAX_CACHE_BYTES", 3 * len(PLAN))
    keys = [dataclasses.replace(KEY, graph_sha256=str(number) * 64) for number in range(5)]
    for age, key in enumerate(keys):
        cache.store(key, "mask", PLAN)
        os.utime(cache.folder / f"{key.digest}.plan", ns=(age, age))
    found = [cache.find(key, "mask")[0] is not None for key in keys]
    assert found == [False, False, True, True, True]


def test_what_another_process_removed_first_is_no_fault(cache: PlanCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_cache, "MAX_CACHE_BYTES", len(PLAN))
    cache.store(dataclasses.replace(KEY, gpu="another"), "mask", PLAN)
    gone = [cache.folder / name for name in ("gone.plan", "gone.json", "new-gone")]
    glob = Path.glob

    def glob_before_removal(folder: Path, pattern: str) -> list[Path]:
        return [*glob(folder, pattern), *(path for path in gone if path.match(pattern))]

    monkeypatch.setattr(Path, "glob", glob_before_removal)
    cache.store(KEY, "mask", PLAN)
    assert cache.find(KEY, "mask") == (PLAN, "")


@pytest.mark.parametrize("deed", ["lstat", "unlink"])
def test_a_file_that_cannot_be_tidied_is_named(deed: str, cache: PlanCache, monkeypatch: pytest.MonkeyPatch) -> None:
    old = dataclasses.replace(KEY, driver="older")
    cache.store(old, "mask", PLAN)

    def refuse(path: Path, **_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, deed, refuse)
    with pytest.raises(BackendError, match=r"cannot be (read|removed): Permission denied") as caught:
        cache.store(KEY, "mask", PLAN)
    assert caught.value.code == "BACKEND_CACHE"
    assert str(cache.folder) in str(caught.value)
    assert "remove it by hand" in str(caught.value)


def test_what_a_killed_writer_left_goes_after_an_hour(cache: PlanCache) -> None:
    cache.store(KEY, "mask", PLAN)
    now = files(cache, ".plan")[0].stat().st_mtime
    for name, age_s in (("new-old", 3700), ("new-fresh", 3000), ("other-old", 3700)):
        (cache.folder / name).write_bytes(b"half")
        os.utime(cache.folder / name, (now - age_s, now - age_s))
    cache.store(KEY, "mask", PLAN)
    assert not (cache.folder / "new-old").exists()
    assert (cache.folder / "new-fresh").exists()
    assert (cache.folder / "other-old").exists()


@posix
def test_folder_and_files_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        cache = PlanCache(tmp_path / "plans")
        cache.store(KEY, "mask", PLAN)
    finally:
        os.umask(before)
    assert stat.S_IMODE(cache.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in cache.folder.iterdir()} == {0o600}
    assert len(list(cache.folder.iterdir())) == 2


@posix
@pytest.mark.parametrize("mode", [0o770, 0o702, 0o720, 0o777])
def test_a_folder_that_others_can_write_is_refused(mode: int, tmp_path: Path) -> None:
    folder = tmp_path / "plans"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(BackendError, match=rf"others can write to it \(mode {mode:o}, 700 is expected\)") as caught:
        PlanCache(folder)
    assert caught.value.code == "BACKEND_CACHE_UNSAFE"


@posix
def test_a_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "plans").symlink_to(tmp_path / "real")
    with pytest.raises(BackendError, match="it is a link"):
        PlanCache(tmp_path / "plans")


@posix
def test_a_folder_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plans").mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(BackendError, match=rf"belongs to user {os.getuid()}, not to you \({os.getuid() + 1}\)"):
        PlanCache(tmp_path / "plans")


@posix
@pytest.mark.parametrize("ending", [".plan", ".json"])
def test_a_file_that_is_a_link_is_refused(ending: str, cache: PlanCache, tmp_path: Path) -> None:
    cache.store(KEY, "mask", PLAN)
    path = files(cache, ending)[0]
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BackendError, match="cannot be read"):
        cache.find(KEY, "mask")


@posix
@pytest.mark.parametrize("ending", [".plan", ".json"])
def test_a_file_that_others_can_write_is_refused(ending: str, cache: PlanCache) -> None:
    cache.store(KEY, "mask", PLAN)
    files(cache, ending)[0].chmod(0o666)
    with pytest.raises(BackendError, match="others can write"):
        cache.find(KEY, "mask")


@posix
def test_the_users_own_folder_is_private_on_both_levels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert PlanCache().folder == user_cache_folder() / "plans" == tmp_path / "soulstream" / "plans"
    user_cache_folder().chmod(0o777)
    with pytest.raises(BackendError, match="others can write"):
        PlanCache()


def test_sizes_are_written_in_one_order() -> None:
    assert profile_text({"b": 2, "a": 1}) == "a=1,b=2"
    assert profile_text({}) == "fixed"
