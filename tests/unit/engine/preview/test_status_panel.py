"""The panel says what the operator needs, and nothing that a file or device name could smuggle in."""

from __future__ import annotations

from soulstream_engine.frames import Provenance, StatusSnapshot
from soulstream_engine.preview.status_panel import render_status


def status(tempo_bpm: float | None = 124.0, is_silent: bool = False, reason: str = "") -> StatusSnapshot:
    return StatusSnapshot(1800, 2, 0, 1700, 0, 50, 50, 3.25, tempo_bpm, 0.9, -15.0, is_silent, "dancing", reason)


def test_tempo_provenance_rate_and_level() -> None:
    html = render_status(status(), Provenance.GENERATED, 29.6)
    for text in ("dancing", "124.0 bpm (90%)", "30 / s", "3.2 ms", "1 800", "-15 dBFS"):
        assert text in html


def test_before_anything_arrives_and_in_silence() -> None:
    assert "waiting" in render_status(None, None, 0.0)
    assert "listening" in render_status(status(tempo_bpm=None), Provenance.IDLE, 30)
    assert "audio silence" in render_status(status(is_silent=True), Provenance.IDLE, 30)


def test_text_is_escaped() -> None:
    html = render_status(status(reason="<script>alert(1)</script>"), Provenance.HELD, 30)
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
