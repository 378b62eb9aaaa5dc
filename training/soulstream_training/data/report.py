"""The data report: what a prepared set holds, as a page of HTML and a PDF that say the same.

Both are made whole before either is put in its place, so a report that cannot be finished leaves the old one. The same
store gives the same files. Not for: counting (``report_numbers``), drawing (``report_figures``, ``report_poses``),
layout (``report_blocks``, ``report_pdf``), the words and tables (``report_sections``).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soulstream_training.data.report_blocks import Picture, to_html
from soulstream_training.data.report_numbers import Step, gather
from soulstream_training.data.report_pdf import to_pdf
from soulstream_training.data.report_poses import collect_poses
from soulstream_training.data.report_sections import build_facts, build_sections

if TYPE_CHECKING:
    from soulstream_training.models.hrvq import Hrvq

HTML_NAME, PDF_NAME = "index.html", "report.pdf"
TITLE = "Data report"


def write_report(
    store_dir: Path,
    music_dir: Path | None,
    out_dir: Path,
    *,
    tokenizer: Hrvq | None = None,
    notices: Sequence[str] = (),
    on_step: Step | None = None,
) -> dict[str, Any]:
    """Writes ``index.html`` and ``report.pdf``.

    Args:
        store_dir: Motion store; ``left_out.json`` beside its index says what was left out and why.
        music_dir: Renderings made for it, or ``None``.
        out_dir: Folder of the report; created if missing.
        tokenizer: Tokenizer of the body in evaluation mode whose codes are counted, or ``None``.
        notices: Further notices, printed after those of the clips' licences.
        on_step: Told what is being done, the steps done and the steps there are.

    Returns:
        ``html`` and ``pdf``, their paths, and the key numbers: ``clips``, ``minutes``, ``performers``, ``styles``,
        ``hours_paired``, ``left_out`` (``None`` if the store does not say) and ``leaks``.

    Raises:
        ConfigError: If the store, the music or the list of what was left out cannot be read, or the tokenizer does not
            take body features.
        BundleError: If a clip's archive is broken.
        OSError: If the report cannot be written.
    """
    numbers = gather(store_dir, music_dir, tokenizer, on_step)
    poses = collect_poses(store_dir, [clip.entry for clip in numbers.clips], on_step)
    sections = build_sections(numbers, poses, notices)
    num_pictures = sum(isinstance(block, Picture) for section in sections for block in section.blocks)
    drawn = 0

    def on_picture() -> None:
        nonlocal drawn
        drawn += 1
        if on_step is not None:
            on_step("Drawing", drawn, 2 * num_pictures)

    facts = build_facts(numbers)
    page = to_html(TITLE, facts, sections, on_picture).encode("utf-8")
    paper = to_pdf(TITLE, facts, sections, on_picture)
    html_path, pdf_path = out_dir / HTML_NAME, out_dir / PDF_NAME
    _write_all({html_path: page, pdf_path: paper})
    return {
        "html": str(html_path),
        "pdf": str(pdf_path),
        "clips": len(numbers.clips),
        "minutes": round(numbers.minutes, 2),
        "performers": len(numbers.performers),
        "styles": len(numbers.styles),
        "hours_paired": round(numbers.hours_paired, 2),
        "left_out": None if numbers.left_out is None else len(numbers.left_out),
        "leaks": len(numbers.leaks),
    }


def _write_all(files: dict[Path, bytes]) -> None:
    """Writes files beside their places, then moves all of them there."""
    partials = {path: path.with_name(f"{path.name}.partial") for path in files}
    try:
        for path, partial in partials.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(files[path])
        for path, partial in partials.items():
            os.replace(partial, path)
    finally:
        for partial in partials.values():
            partial.unlink(missing_ok=True)
