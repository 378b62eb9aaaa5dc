"""A manifest says what its graphs compute in; older ones, which do not say it, compute in float32."""

from __future__ import annotations

import pytest
from fakes.bundle_files import manifest_document
from pydantic import ValidationError

from soulstream_engine.manifest import Manifest


def document() -> dict:
    """A whole manifest as older releases wrote it."""
    written = manifest_document()
    names = {step["file"] for step in written["steps"]}
    return written | {"files": {name: {"sha256": "0" * 64, "bytes": 1} for name in names}}


def test_an_older_manifest_computes_in_float32() -> None:
    assert "arithmetic" not in document()
    assert Manifest.model_validate(document()).arithmetic == "float32"


def test_int8_survives_being_written_and_read() -> None:
    manifest = Manifest.model_validate(document() | {"arithmetic": "int8"})
    assert Manifest.model_validate_json(manifest.model_dump_json()).arithmetic == "int8"


def test_another_arithmetic_is_refused() -> None:
    with pytest.raises(ValidationError, match="arithmetic"):
        Manifest.model_validate(document() | {"arithmetic": "int4"})
