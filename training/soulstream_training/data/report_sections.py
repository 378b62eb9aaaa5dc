"""What the data report says: the chapters with their tables, charts, poses and notices, from the numbers counted.

Not for: counting (``report_numbers``), drawing (``report_figures``, ``report_poses``), files (``report``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from soulstream_engine.clock import FPS
from soulstream_training.data import report_figures as figures
from soulstream_training.data.clips import PAIRING_CLASSES, SPLITS
from soulstream_training.data.motion_quality import QualityLimits
from soulstream_training.data.notices import GROOVE_ID, notices_for
from soulstream_training.data.report_blocks import NO_NAME, Block, Section, Table, Text, num_clips
from soulstream_training.data.report_codes import CodeLevel
from soulstream_training.data.report_joints import JointRange
from soulstream_training.data.report_numbers import ClipNumbers, Pairing, ReportNumbers, Tally
from soulstream_training.data.report_parts import PartNumbers
from soulstream_training.data.report_poses import Poses, contact_sheet
from soulstream_training.data.store import ClipEntry

GROOVE_TAKES = "groove/"
"""How the names of drum takes of the Groove MIDI Dataset begin."""

NOTHING = "-"

_CLASSES = (
    "Class A has a tempo that is known for sure, class B has beats only, class C is danced freely, real was danced to "
    "a recording of its own, and none is no dance. Music is made for A and B. The split aux holds motion that is "
    "learnt from without music."
)
_QUALITY = (
    "Foot slide is the horizontal speed of planted feet; beside it stands that of the recording's own feet in the same "
    "frames. Jitter is the mean jerk of the joints. Beyond limits is the share of the frames with a pose that no human "
    "can do. Under the floor is the 99th percentile of how deep the lowest joint is. The clips closest to a limit come "
    "first; the last column says how close, in percent of the limits that hold unless the recipe says otherwise."
)
_PARTS = (
    "Hands and faces that nobody captured are made by rule: poses that change on the dancer's moments of rest, blinks, "
    "gaze and accents. They are learnt with a low weight. The numbers say that they are possible, smooth and in time; "
    "there is no truth to compare them with."
)
_POSES = (
    "The first pose of a style is the one closest to its mean; each further one is the most unlike those before it. "
    "Left limbs are orange, right ones blue; what was not captured is pale."
)


def build_facts(numbers: ReportNumbers) -> list[tuple[str, str]]:
    """The few numbers at the top of the report.

    Args:
        numbers: What was counted.

    Returns:
        Label and value of each.
    """
    moved = [(clip.energy_mps, clip.minutes) for clip in numbers.clips if clip.minutes]
    energy = sum(speed * minutes for speed, minutes in moved) / sum(minutes for _, minutes in moved) if moved else 0.0
    return [
        ("clips", str(len(numbers.clips))),
        ("minutes of clean motion", f"{numbers.minutes:.1f}"),
        ("performers", str(len(numbers.performers))),
        ("styles", str(len(numbers.styles))),
        ("hours with music", f"{numbers.hours_paired:.2f}"),
        ("mean joint speed, m/s", f"{energy:.2f}"),
        ("clips left out", "not known" if numbers.left_out is None else str(len(numbers.left_out))),
        ("leaks between splits", str(len(numbers.leaks))),
    ]


def build_sections(numbers: ReportNumbers, poses: Sequence[Poses], notices: Sequence[str] = ()) -> list[Section]:
    """Everything the report says, in order.

    Args:
        numbers: What was counted.
        poses: Poses of every style.
        notices: Further notices, printed last.

    Returns:
        Its chapters; codes, poses and leaks only where there are any.
    """
    clips = numbers.clips
    tempo, energy = figures.tempo_histogram(clips, numbers.music), figures.energy_and_contacts(clips)
    sections = [
        _tally_section("Performers", numbers.performers, "performers", "styles"),
        _tally_section("Styles", numbers.styles, "styles", "performers"),
        Section("Splits and pairing classes", (_splits(numbers.splits_and_classes), Text(_CLASSES))),
        Section("Tempo, energy and contacts", (tempo, energy)),
        Section("Range of the joints", (figures.joint_ranges(numbers.joints), _joints(numbers.joints))),
        Section("Hands and face", (Text(_PARTS), *_parts(numbers.parts))),
        Section("Pairing with music", _pairing(numbers)),
        Section("Quality of the clips", (figures.quality_histograms(clips), Text(_QUALITY), _quality(clips))),
    ]
    if numbers.codes:
        sections.append(Section("Codes", (figures.code_usage(numbers.codes), _codes(numbers.codes))))
    if poses:
        sections.append(Section("Poses of every style", (Text(_POSES), *contact_sheet(poses))))
    sections.append(Section("What was left out, and why", (_left_out(numbers.left_out),)))
    if numbers.leaks:
        leaks = Table(("what lies in two splits",), tuple((leak,) for leak in numbers.leaks))
        sections.append(Section("Leaks between splits", (leaks,)))
    sections.append(Section("Licences and notices", tuple(_licences(numbers, notices))))
    return sections


def _tally_section(title: str, tallies: Sequence[Tally], what: str, kinds: str) -> Section:
    rows = []
    for item in tallies:
        counts = (f"{item.minutes:.2f}", str(item.num_clips), str(item.num_kinds))
        rows.append((item.name or NO_NAME, *counts, f"{item.energy_mps:.2f}"))
    columns = (what.removesuffix("s"), ">minutes", ">sequences", f">{kinds}", ">energy, m/s")
    table = Table(columns, tuple(rows), (3.0, 1.0, 1.0, 1.0, 1.0))
    return Section(title, (*figures.bar_charts(tallies, what, kinds), table))


def _splits(found: dict[tuple[str, str], tuple[int, float]]) -> Table:
    """Clips and minutes by split and class, with sums of rows and columns."""
    rows = []
    for split in (*SPLITS, "all"):
        cells = []
        for kind in (*PAIRING_CLASSES, "all"):
            inside = [value for key, value in found.items() if split in (key[0], "all") and kind in (key[1], "all")]
            count, minutes = sum(clips for clips, _ in inside), sum(minutes for _, minutes in inside)
            cells.append(f"{num_clips(count)}, {minutes:.1f} min" if count else NOTHING)
        rows.append((split, *cells))
    headings = (f">class {kind}" if len(kind) == 1 else f">{kind}" for kind in (*PAIRING_CLASSES, "all"))
    return Table(("split", *headings), tuple(rows))


def _joints(joints: Sequence[JointRange]) -> Table:
    rows = []
    for joint in joints:
        spans = [f"{low:.0f} to {high:.0f}" for low, high in zip(joint.low_deg, joint.high_deg, strict=True)]
        rows.append((joint.name.replace("_", " "), *spans, f"{joint.widest_deg:.0f}"))
    return Table(("joint", ">about X, degrees", ">about Y, degrees", ">about Z, degrees", ">widest"), tuple(rows))


def _parts(parts: Sequence[PartNumbers]) -> list[Table]:
    minutes = [(item.part, f"{item.captured_minutes:.1f}", f"{item.rule_minutes:.1f}") for item in parts]
    tables = [Table(("part", ">captured, min", ">by rule or empty, min"), tuple(minutes))]
    return tables + [
        Table((f"{item.part} by rule", ">value"), item.values, (3.0, 1.0)) for item in parts if item.values
    ]


def _codes(levels: Sequence[CodeLevel]) -> Table:
    rows = []
    for level in levels:
        used = f"{level.num_used} of {level.num_codes}"
        most = f"{100 * level.shares[0]:.1f}"
        rows.append((level.part, str(level.level), str(level.num_tokens), used, f"{level.perplexity:.1f}", most))
    columns = ("part", ">level", ">tokens", ">codes used", ">perplexity", ">most used code, %")
    return Table(columns, tuple(rows))


def _pairing(numbers: ReportNumbers) -> tuple[Block, ...]:
    if not numbers.music:
        return (Text("No music was made for these clips, or its folder was not given."),)
    return (
        _classes_with_music(numbers),
        figures.p_values(numbers.music),
        Text(
            "Clip by clip: medians over the renderings. On a beat is the share of the moments of rest that lie on one, "
            "spread is how far they lie from it. Refit p is 1 where the question was not asked. Clips that were danced "
            "to a recording of their own are bent onto no grid and have none of these."
        ),
        _clips_with_music(numbers.pairings),
    )


def _classes_with_music(numbers: ReportNumbers) -> Table:
    rows = []
    for kind in PAIRING_CLASSES:
        made = [entry for entry in numbers.music if entry.pairing_class == kind]
        if not made:
            continue
        paired = [entry for entry in made if entry.is_paired]
        clips = f"{len({entry.clip_id for entry in paired})} of {len({entry.clip_id for entry in made})}"
        minutes = f"{sum(entry.num_frames for entry in paired) / FPS / 60.0:.1f}"
        asked = paired if kind != "real" else []
        shift, refit = [entry.shift_p for entry in asked], [entry.refit_p for entry in asked]
        passed = f"{sum(p <= figures.P_LIMIT for p in refit)} of {len(paired)}" if asked else NOTHING
        rows.append((kind, clips, f"{len(paired)} of {len(made)}", minutes, _median(shift), _median(refit), passed))
    p_columns = (">shift p, median", ">refit p, median", f">refit p at most {figures.P_LIMIT:g}")
    return Table(("class", ">clips with music", ">renderings", ">minutes", *p_columns), tuple(rows))


def _clips_with_music(pairings: Sequence[Pairing]) -> Table:
    rows = []
    for pairing in pairings:
        values: tuple[str, ...] = (NOTHING,) * 5
        if pairing.num_paired:
            tempo = f"{pairing.bpm[0]:.0f} to {pairing.bpm[1]:.0f}"
            fit = (f"{100 * pairing.on_beat:.0f}", f"{pairing.residual_ms:.0f}")
            values = (tempo, f"{pairing.shift_p:.3f}", f"{pairing.refit_p:.3f}", *fit)
            if pairing.pairing_class == "real":
                values = (tempo, *(NOTHING,) * 4)
        made = f"{pairing.num_paired} of {pairing.num_renderings}"
        rows.append((pairing.clip_id, pairing.pairing_class, made, *values))
    columns = ("clip", "class", ">renderings", ">beats a minute", ">shift p", ">refit p")
    return Table((*columns, ">on a beat, %", ">spread, ms"), tuple(rows))


def _median(values: Sequence[float]) -> str:
    return f"{float(np.median(values)):.3f}" if values else NOTHING


def _quality(clips: Iterable[ClipNumbers]) -> Table:
    rows = []
    for entry in sorted((clip.entry for clip in clips), key=lambda entry: (-_closeness(entry), entry.clip_id)):
        theirs = f"{entry.source_slide_mps:.3f}" if entry.source_slide_mps else NOTHING
        shares = (f"{100 * entry.limit_share:.1f}", f"{100 * entry.floor_penetration_m:.1f}")
        numbers = (f"{entry.foot_slide_mps:.3f}", theirs, f"{entry.jitter_mps3:.0f}", *shares)
        rows.append((entry.clip_id, *numbers, f"{100 * _closeness(entry):.0f}"))
    slides, rest = (">foot slide, m/s", ">its recording's, m/s"), (">jitter, m/s³", ">beyond limits, %")
    return Table(("clip", *slides, *rest, ">under the floor, cm", ">of the limit, %"), tuple(rows))


def _closeness(entry: ClipEntry) -> float:
    """The largest of the quality numbers over their limits."""
    limits = QualityLimits()
    names = ("foot_slide_mps", "jitter_mps3", "limit_share", "floor_penetration_m")
    return max(float(getattr(entry, name)) / float(getattr(limits, name)) for name in names)


def _left_out(left_out: tuple[tuple[str, str], ...] | None) -> Block:
    if left_out is None:
        return Text("The store does not say what was left out: it holds no list of it.")
    return Table(("clip", "reason"), left_out, (1.0, 3.0)) if left_out else Text("Nothing was left out.")


def _licences(numbers: ReportNumbers, notices: Sequence[str]) -> list[Block]:
    """Every licence of the clips and of the drum takes that were heard, then the words that each asks for."""
    tallies = {item.name: item for item in numbers.licences}
    has_takes = any(entry.is_paired and entry.drums.startswith(GROOVE_TAKES) for entry in numbers.music)
    rows, words = [], []
    for notice in notices_for([*tallies, *([GROOVE_ID] if has_takes else [])]):
        item = tallies.get(notice.licence_id)
        amount = (str(item.num_clips), f"{item.minutes:.1f}") if item else ("music", NOTHING)
        rows.append((notice.licence_id or NO_NAME, notice.source, *amount, notice.terms))
        words += [Text(f"{notice.source}: {notice.text}")] if notice.text else []
        words += [Text(notice.licence_text, is_small=True)] if notice.licence_text else []
    columns = ("licence", "source", ">clips", ">minutes", "terms")
    return [Table(columns, tuple(rows), (1.8, 1.6, 0.6, 0.7, 2.8)), *words, *(Text(notice) for notice in notices)]
