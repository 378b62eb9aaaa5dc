"""The page of a judged table: its words and tables as HTML, around pictures and films that lie beside it.

It runs nothing and fetches nothing else. All text is escaped, and folders are cut from the absolute paths in it. Not
for: drawing and writing (``judge_report``), what a score means (``judged_table``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from soulstream_training.data.report_blocks import clean

from .intervals import LEVEL, Interval
from .judge import BEAT_METRICS, USED_P
from .judged_table import BETTER, GROUPS, METRICS, JudgedTable, metric_of, score_text
from .systems import Song, SystemTakes

TITLE = "Dances, judged"
NOTHING = "\N{EN DASH}"

_BY_SYSTEM = {"commit": "Commit", "weights": "Weights", "configs": "Configuration"}
_FOLDERS = re.compile(r"(?:file://|(?<![\w:/.~…]))/(?:[\w.+@~-]+/)*(?=[\w.+@~-])|\b[A-Za-z]:\\(?:[^\\\s]+\\)*")


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture or film of the page: name of its file, its heading, what it shows in words, and the line under it."""

    file: str
    title: str
    alt: str
    caption: str


def to_page(table: JudgedTable, songs: Sequence[Song], pictures: Sequence[Shown], films: Sequence[Shown]) -> str:
    """The whole page.

    Args:
        table: What was judged.
        songs: What was danced to.
        pictures: In their order.
        films: Each with a picture of the same name that ends in ``.png``.

    Returns:
        A document of HTML 5.
    """
    sections = [("Scores", _scores(table)), ("Who listens how", _listeners(table))]
    sections += [(picture.title, _picture(picture)) for picture in pictures]
    sections.append(("Side by side", "".join(map(_film, films)) or "<p>No film was made.</p>"))
    sections.append(("What it was made with", _origins(table)))
    links = "".join(f'<li><a href="#s{number}">{_text(title)}</a></li>' for number, (title, _) in enumerate(sections))
    body = "\n".join(
        f'<section id="s{number}"><h2>{_text(title)}</h2>\n{html}</section>'
        for number, (title, html) in enumerate(sections)
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{TITLE}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{_CSS}</style>\n</head>\n<body>\n"
        f"<header><h1>{TITLE}</h1><p>{_introduction(table, songs)}</p></header>\n"
        f'<nav aria-label="Contents"><ol>{links}</ol></nav>\n<main>\n{body}\n</main>\n</body>\n</html>\n'
    )


def _text(words: object) -> str:
    """Text in one line."""
    return escape(clean(_without_folders(str(words))))


def _without_folders(words: str) -> str:
    return _FOLDERS.sub("…/", words)


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _introduction(table: JudgedTable, songs: Sequence[Song]) -> str:
    competing = [system for system in table.systems if system.name not in table.references]
    num_dances = sum(len(system.takes) for system in competing)
    lengths = sorted({f"{song.seconds:.0f}" for song in songs}, key=float)
    span = f"{lengths[0]} s" if len(lengths) == 1 else f"{lengths[0]} to {lengths[-1]} s" if lengths else "no time"
    words = [
        f"{_many(len(competing), 'system')} danced to {_many(len(songs), 'song')} of {span} each, "
        f"{_many(num_dances, 'dance')} in all, and every dance was measured alike, by the joints of one skeleton."
    ]
    ceilings, floors = (", ".join(table.named(role)) for role in ("ceiling", "floor"))
    if ceilings:
        words.append(
            f"The ceiling ({ceilings}) is real dancers whose tempo is sure (class A). They dance to other music, which "
            "was rendered to fit them, so their scores of the beat are partly circular: no dancer who has to listen "
            "can be expected to come as near to the beats."
        )
    if floors:
        words.append(f"Who is a floor ({floors}) does not hear the music: what floors score can be had by chance.")
    words.append(
        "Scores of a dance are averaged over the dances to a song and then over songs; distances and diversities are "
        "of stretches of five seconds, in units of real dances. Below each value stands its "
        f"{100 * LEVEL:.0f} % interval over songs."
    )
    return _text(" ".join(words))


def _scores(table: JudgedTable) -> str:
    marks = ", ".join(f"{mark} {meaning}" for mark, meaning in BETTER.values() if mark)
    there = {name for system in table.names for name in table.rows[system]}
    found = [*(name for name in METRICS if name in there), *sorted(there - METRICS.keys())]
    legend = (
        f"{marks[0].upper()}{marks[1:]}. Bold: the best of the systems that compete. Grey: scores of the beat that "
        f"cannot tell real dancers from the same out of time (chance p of {USED_P:g} or more), which are not used."
    )
    html = [f"<p>{_text(legend)}</p>"]
    for group in GROUPS:
        metrics = [name for name in found if metric_of(name).group == group]
        if metrics:
            html.append(_score_table(table, group, metrics))
    return "\n".join(html)


def _score_table(table: JudgedTable, group: str, metrics: Sequence[str]) -> str:
    used = {name: table.is_used(name) for name in metrics}
    best = {name: table.best(name) for name in metrics}
    head = "".join(_heading(table, name, used[name]) for name in metrics)
    rows = []
    for system in table.systems:
        row = table.rows[system.name]
        has_interval = len({take.song for take, _ in system.takes}) > 1
        cells = "".join(_cell(row.get(name), used[name], system.name in best[name], has_interval) for name in metrics)
        mark = ' class="reference"' if system.name in table.references else ""
        name = f"{_text(system.name)} <small>{_text(_listening(table, system))}</small>"
        rows.append(f'<tr{mark}><th scope="row">{name}</th>{cells}</tr>')
    meanings = "; ".join(f"{metric_of(name).title}: {metric_of(name).meaning}" for name in metrics)
    head = f'<caption>{_text(group)}</caption><thead><tr><th scope="col">System</th>{head}</tr></thead>'
    return f'{_framed(head, rows)}<p class="small">{_text(meanings)}.</p>'


def _heading(table: JudgedTable, name: str, is_used: bool) -> str:
    metric = metric_of(name)
    mark, meaning = BETTER[metric.better]
    words = _text(metric.title)
    if mark:
        words += f' <span role="img" aria-label="{_text(meaning)}">{mark}</span>'
    chance = f"p = {table.beat_p[name]:.2g}" if name in table.beat_p else "p not known" if name in BEAT_METRICS else ""
    if chance:
        words += f" <small>{chance}{'' if is_used else ', not used'}</small>"
    return f'<th scope="col" class="number{"" if is_used else " unused"}">{words}</th>'


def _cell(score: Interval | None, is_used: bool, is_best: bool, has_interval: bool) -> str:
    mark = f'<td class="number{"" if is_used else " unused"}">'
    if score is None:
        return f"{mark}{NOTHING}</td>"
    value, low, high = score_text(score)
    span = f"{low} to {high}" if has_interval else "one song"
    return f"{mark}{f'<strong>{value}</strong>' if is_best else value} <small>{span}</small></td>"


def _listening(table: JudgedTable, system: SystemTakes) -> str:
    if system.name in table.references:
        return table.references[system.name]
    return f"causal, {system.wait_s:.2g} s" if system.is_causal else "offline"


def _listeners(table: JudgedTable) -> str:
    rows = []
    for system in table.systems:
        is_reference = system.name in table.references
        wait = NOTHING if is_reference or not system.is_causal else f"{system.wait_s:.2f} s"
        kind = _listening(table, system) if is_reference or not system.is_causal else "causal"
        songs = len({take.song for take, _ in system.takes})
        rows.append((system.name, kind, wait, f"{len(system.takes)}", f"{songs}", system.note))
    remark = (
        "Wait: the music that must have been heard behind the frame that is danced, for which a listener waits. "
        "Causal: nothing later is looked at. Offline: the whole song is known before the first step."
    )
    headings = ("System", "Kind", ">Wait", ">Dances", ">Songs", "Note")
    return f'{_table(headings, rows)}<p class="small">{_text(remark)}</p>'


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of text; a column whose heading starts with ``>`` is set to the right, one with ``|`` keeps its lines."""
    marks = [' class="number"' if heading.startswith(">") else "" for heading in headings]
    head = "".join(f'<th scope="col"{m}>{_text(h.lstrip(">|"))}</th>' for m, h in zip(marks, headings, strict=True))
    body = []
    for first, *others in rows:
        cells = []
        for mark, heading, cell in zip(marks[1:], headings[1:], others, strict=True):
            words = f"<pre>{escape(_without_folders(cell))}</pre>" if heading.startswith("|") else _text(cell)
            cells.append(f"<td{mark}>{words}</td>")
        body.append(f'<tr><th scope="row">{_text(first)}</th>{"".join(cells)}</tr>')
    return _framed(f"<thead><tr>{head}</tr></thead>", body)


def _framed(head: str, rows: Sequence[str]) -> str:
    lines = "\n".join(rows)
    return f'<div class="table" tabindex="0"><table>{head}<tbody>\n{lines}\n</tbody></table></div>\n'


def _picture(picture: Shown) -> str:
    caption = f"<figcaption>{_text(picture.caption)}</figcaption>"
    return f'<figure><img src="{picture.file}" alt="{_text(picture.alt)}">{caption}</figure>\n'


def _film(film: Shown) -> str:
    still = film.file.replace(".mp4", ".png")
    instead = f'<a href="{film.file}"><img src="{still}" alt="{_text(film.alt)}">The film</a>'
    video = f'<video controls preload="metadata" poster="{still}" aria-label="{_text(film.alt)}">'
    source = f'<source src="{film.file}" type="video/mp4">'
    link = f'<a href="{film.file}">The film as a file</a>.'
    return f"<figure>{video}{source}{instead}</video><figcaption>{_text(film.caption)} {link}</figcaption></figure>\n"


def _origins(table: JudgedTable) -> str:
    facts = [(key, value) for key, value in table.about.items() if key not in _BY_SYSTEM]
    listed = "".join(f"<dt>{_text(key.capitalize())}</dt><dd>{_text(_words(value))}</dd>" for key, value in facts)
    rows = [(name, *(_of_system(table.about.get(key, ""), name) for key in _BY_SYSTEM)) for name in table.names]
    headings = ("System", _BY_SYSTEM["commit"], _BY_SYSTEM["weights"], f"|{_BY_SYSTEM['configs']}")
    return f"<dl>{listed}</dl>\n{_table(headings, rows)}"


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return "\n".join(f"{key}: {_words(found)}" for key, found in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _of_system(value: Any, name: str) -> str:
    return _words(value.get(name, "")) if isinstance(value, Mapping) else str(value)


_CSS = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 72rem; color: #1d2731; background: #fff;
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.9rem; margin: 0 0 1rem; }
h2 { font-size: 1.3rem; margin: 3rem 0 0.75rem; padding-bottom: 0.3rem; border-bottom: 2px solid #1f7a8c; }
p, figcaption { max-width: 52rem; margin: 0 0 1rem; }
.small, small, figcaption { font-size: 0.82rem; color: #4a5763; }
small { display: block; font-weight: 400; white-space: nowrap; }
nav ol { columns: 2; padding-left: 1.4rem; font-size: 0.92rem; }
a { color: #146372; }
figure { margin: 1rem 0 1.5rem; }
img, video { display: block; max-width: 100%; height: auto; margin-bottom: 0.4rem; }
.table { overflow-x: auto; margin: 1rem 0 0.75rem; }
table { border-collapse: collapse; font-size: 0.88rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 700; padding-bottom: 0.2rem; }
th, td { text-align: left; vertical-align: top; padding: 0.3rem 1.1rem 0.3rem 0; border-bottom: 1px solid #e6eaed; }
thead th { border-bottom: 1.5px solid #8a949e; vertical-align: bottom; }
tbody th { font-weight: 500; }
.number { text-align: right; }
.reference > * { background: #f4f6f7; }
.unused, .unused small { color: #6b7681; font-weight: 400; }
strong { font-weight: 750; }
dt { font-weight: 600; float: left; clear: left; min-width: 8rem; }
dd { margin: 0 0 0.25rem 8rem; }
pre { margin: 0; font-size: 0.78rem; white-space: pre-wrap; }
@media print { nav { display: none; } figure, tr { break-inside: avoid; } body { max-width: none; font-size: 9.5pt; } }
"""
