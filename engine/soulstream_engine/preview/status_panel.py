"""The few numbers beside the dancer, as a small block of HTML."""

from __future__ import annotations

from html import escape

from soulstream_engine.frames import Provenance, StatusSnapshot

_FLOOR_DBFS = -60.0  # an empty level bar

_COLORS = {
    Provenance.GENERATED: "#5ee0a0",
    Provenance.BLENDED: "#7fc4ff",
    Provenance.HELD: "#ffc857",
    Provenance.IDLE: "#a6a8c8",
}
_WORDS = {
    Provenance.GENERATED: "dancing",
    Provenance.BLENDED: "blending",
    Provenance.HELD: "holding",
    Provenance.IDLE: "idling",
}


def render_status(status: StatusSnapshot | None, provenance: Provenance | None, frames_per_second: float) -> str:
    """HTML of the panel.

    Args:
        status: The newest status, or ``None`` before the first.
        provenance: Where the shown frame came from, or ``None`` before the first.
        frames_per_second: Poses that arrive here a second.
    """
    color = _COLORS[provenance] if provenance else "#a6a8c8"
    word = _WORDS[provenance] if provenance else "waiting"
    rows = [("frames", f"{frames_per_second:.0f} / s")]
    level = ""
    if status is not None:
        is_locked = status.tempo_bpm is not None
        tempo = f"{status.tempo_bpm:.1f} bpm ({status.confidence:.0%})" if is_locked else "listening ..."
        rows.insert(0, ("tempo", tempo))
        rows += [
            ("late (p99)", f"{status.late_ms_p99:.1f} ms"),
            ("sent", f"{status.frames_sent:,}".replace(",", " ")),
            ("dropped", str(status.dropped)),
        ]
        if status.state:
            rows.append(("state", escape(f"{status.state}: {status.reason}" if status.reason else status.state)))
        share = 0.0 if status.is_silent else min(max(1 - status.level_dbfs / _FLOOR_DBFS, 0.0), 1.0)
        text = "silence" if status.is_silent else f"{status.level_dbfs:.0f} dBFS"
        level = (
            "<div style='margin-top:.6em;height:6px;border-radius:3px;background:#3a3c5c'>"
            f"<div style='width:{share:.0%};height:6px;border-radius:3px;background:{color}'></div></div>"
            f"<div style='opacity:.7;font-size:.85em;margin-top:.2em'>audio {text}</div>"
        )
    table = "".join(
        f"<tr><td style='opacity:.65;padding-right:1em;white-space:nowrap'>{name}</td><td>{value}</td></tr>"
        for name, value in rows
    )
    return (
        "<div style='padding:.2em .8em .6em;font-size:.9em;line-height:1.5'>"
        f"<div style='font-size:1.15em;margin-bottom:.3em'><span style='color:{color}'>&#9679;</span> {word}</div>"
        f"<table>{table}</table>{level}</div>"
    )
