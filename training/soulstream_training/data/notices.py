"""What each licence of the data asks for: the notices that go with a model trained on it, by licence id.

The ids are those of the column ``licence`` in the clip and music tables. Taken from ``LICENCES.md`` of the data folder;
none was confirmed with an owner. Not for the licences of code (``NOTICES.md`` at the root).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MIT_TEXT = (
    "Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated "
    'documentation files (the "Software"), to deal in the Software without restriction, including without limitation '
    "the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and "
    "to permit persons to whom the Software is furnished to do so, subject to the following conditions: The above "
    "copyright notice and this permission notice shall be included in all copies or substantial portions of the "
    'Software. THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT '
    "LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT "
    "SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION "
    "OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER "
    "DEALINGS IN THE SOFTWARE."
)
"""Text that MIT licences want to be passed on with the copyright line."""

BSD_2_CLAUSE_TEXT = (
    "Redistribution and use in source and binary forms, with or without modification, are permitted provided that the "
    "following conditions are met: 1. Redistributions of source code must retain the above copyright notice, this list "
    "of conditions and the following disclaimer. 2. Redistributions in binary form must reproduce the above copyright "
    "notice, this list of conditions and the following disclaimer in the documentation and/or other materials provided "
    "with the distribution. THIS SOFTWARE IS PROVIDED ``AS IS'' AND ANY EXPRESS OR IMPLIED WARRANTIES, INCLUDING, BUT "
    "NOT LIMITED TO, THE IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS FOR A PARTICULAR PURPOSE ARE DISCLAIMED. IN "
    "NO EVENT SHALL THE REGENTS OR CONTRIBUTORS BE LIABLE FOR ANY DIRECT, INDIRECT, INCIDENTAL, SPECIAL, EXEMPLARY, OR "
    "CONSEQUENTIAL DAMAGES (INCLUDING, BUT NOT LIMITED TO, PROCUREMENT OF SUBSTITUTE GOODS OR SERVICES; LOSS OF USE, "
    "DATA, OR PROFITS; OR BUSINESS INTERRUPTION) HOWEVER CAUSED AND ON ANY THEORY OF LIABILITY, WHETHER IN CONTRACT, "
    "STRICT LIABILITY, OR TORT (INCLUDING NEGLIGENCE OR OTHERWISE) ARISING IN ANY WAY OUT OF THE USE OF THIS SOFTWARE, "
    "EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE."
)
"""Text that the BSD-2-Clause licence of the music packages wants to be passed on with the copyright line."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What a licence asks for.

    Attributes:
        licence_id: As in the tables; may be empty.
        source: Where the data comes from.
        terms: The conditions that matter here, in a sentence or two.
        text: Words that must go with a model or rendering made from the data; empty if none are asked for.
        licence_text: Licence text that must go with them; empty if none.
    """

    licence_id: str
    source: str
    terms: str
    text: str
    licence_text: str = ""


GROOVE_ID = "CC-BY-4.0-GROOVE"
"""Licence id of the drum takes that renderings of music are made with."""

_NOTICES = (
    Notice(
        "CMU-MOCAP",
        "CMU Graphics Lab Motion Capture Database",
        "Free for all uses, also in products that are sold; the clips themselves may not be sold, even converted.",
        "The data used in this project was obtained from mocap.cs.cmu.edu. The database was created with funding from "
        "NSF EIA-0196217. The source clips may not be resold, even in converted form.",
    ),
    Notice(
        "CC-BY-4.0-G1MOVES",
        "G1 Moves",
        "CC BY 4.0: name the authors, link, say what was changed. The music of the dances is not part of it.",
        "G1 Moves (Mitch Chaiet, 2026; dance Jasmine Coro, karate Mike Gassaway), "
        "https://github.com/experientialtech/g1-moves, CC BY 4.0, https://creativecommons.org/licenses/by/4.0/. "
        "Changes were made (retargeting, filtering, filling of missing joints).",
    ),
    Notice(
        "CC0-1.0",
        "Mesh2Motion",
        "CC0 1.0: no conditions. Naming Mesh2Motion is a courtesy.",
        "",
    ),
    Notice(
        "MIT-ANIMATEDDRAWINGS",
        "Animated Drawings (rokoko, fair1)",
        "MIT: keep the copyright line and the text.",
        "Copyright (c) Meta Platforms, Inc. and affiliates.",
        MIT_TEXT,
    ),
    Notice(
        "MIT-IWER",
        "IWER, hand poses that hands by rule are mixed of",
        "MIT licence: the copyright line and the licence text go with what was made from it.",
        "Copyright (c) Meta Platforms, Inc. and affiliates.",
        MIT_TEXT,
    ),
    Notice(
        GROOVE_ID,
        "Groove MIDI Dataset",
        "CC BY 4.0: name the authors, link, say what was changed.",
        "Groove MIDI Dataset, Jon Gillick, Adam Roberts, Jesse Engel, Douglas Eck, David Bamman, 'Learning to Groove "
        "with Inverse Sequence Transformations', ICML 2019, Google Magenta, "
        "https://magenta.tensorflow.org/datasets/groove, CC BY 4.0. Rendered and modified.",
    ),
    Notice(
        "BSD-2-CLAUSE-KENTACHO",
        "Music of the games by Kenta Cho",
        "BSD-2-Clause: keep the copyright line, the two conditions and the disclaimer.",
        'Copyright 2002-2006 Kenta Cho (rrootage: also "Evil Mr. Henry" among the authors)',
        BSD_2_CLAUSE_TEXT,
    ),
    Notice(
        "MIT-SECTOID",
        "Sectoid song pack for Frets on Fire",
        "MIT: keep the copyright line and the text. Covers songs, performances and note files.",
        "Copyright (c) 2006/2007 Carlos Viola Iborra",
        MIT_TEXT,
    ),
)

NOTICES: dict[str, Notice] = {notice.licence_id: notice for notice in _NOTICES}
"""Notices by licence id."""


def notices_for(licence_ids: Iterable[str]) -> list[Notice]:
    """What the licences ask for.

    Args:
        licence_ids: Ids as in the tables, in any order, repeated or empty.

    Returns:
        One notice an id, sorted by id. An id that is not known gets one that says so, so that no clip goes unnamed.
    """
    return [NOTICES.get(licence_id) or _unknown(licence_id) for licence_id in sorted(set(licence_ids))]


def _unknown(licence_id: str) -> Notice:
    terms = "No notice is known for this id: look the terms up before anything made from these clips is passed on."
    return Notice(licence_id, "unknown source" if licence_id else "clips without a licence id", terms, "")
