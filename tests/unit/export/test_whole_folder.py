from __future__ import annotations

from pathlib import Path

import pytest

from soulstream_engine.errors import BundleError, ConfigError
from soulstream_export.whole_folder import refuse_other_folder, write_whole


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "model"
    for files in ({"old": b"1"}, {"new": b"2"}):
        write_whole(folder, files, lambda path: sorted(path.iterdir()))
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == files
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_what_its_reader_refuses_leaves_the_old_folder(tmp_path: Path) -> None:
    def refuse(_: Path) -> None:
        raise BundleError("BUNDLE_HASH", "changed")

    folder = tmp_path / "model"
    write_whole(folder, {"old": b"1"}, lambda path: path)
    with pytest.raises(BundleError, match="changed"):
        write_whole(folder, {"new": b"2"}, refuse)
    assert [path.name for path in folder.iterdir()] == ["old"]
    write_whole(folder, {"new": b"2"}, lambda path: path)
    assert [path.name for path in folder.iterdir()] == ["new"], "what was left over is in the way"


def test_only_folders_of_ours_may_be_replaced(tmp_path: Path) -> None:
    refuse_other_folder(tmp_path / "missing", "mmr.json", "model")
    refuse_other_folder(tmp_path, "mmr.json", "model")
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match=r"no mmr\.json; it is not a model that may be replaced"):
        refuse_other_folder(tmp_path, "mmr.json", "model")
    (tmp_path / "mmr.json").write_text("{}")
    refuse_other_folder(tmp_path, "mmr.json", "model")
