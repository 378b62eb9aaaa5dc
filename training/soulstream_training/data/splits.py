"""Divides clips into training, validation and test so that what they share is never in two of them.

Clips that share a key (a song, a take, a partner; on demand a performer) belong together, and so do clips that are
linked through others. What belongs together is a group, and a group is never divided. Groups are dealt out by their
seconds, genre by genre. Not for finding out what clips share (``clip_table``). Letters: none.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from soulstream_engine.errors import ConfigError

SPLIT_NAMES = ("train", "val", "test")
DEFAULT_SHARES = (8.0, 1.0, 1.0)
"""Parts of training, validation and test. Source: the supplement of SoulDance (Li et al., 2025)."""


@dataclass(frozen=True, slots=True)
class SplitItem:
    """One clip, as far as dividing is concerned.

    Attributes:
        name: Unique name.
        genre: Its genre.
        seconds: Its length, positive.
        keys: What it shares with others, as kind and value: ``("song", "mBR0")``. Its own name is the key
            ``("name", name)``, so that ``("name", other)`` ties it to a partner.
    """

    name: str
    genre: str
    seconds: float
    keys: frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Group:
    """Clips that belong together: their names, the genre most of their seconds have, and a random rank for ties."""

    names: tuple[str, ...]
    genre: str
    seconds: float
    rank: int


def assign_splits(
    items: Iterable[SplitItem], shares: Sequence[float] = DEFAULT_SHARES, seed: int = 0
) -> dict[str, str]:
    """Gives every clip a split.

    The longest group of a genre goes to training, so that a genre with one group is learned and not tested. Each
    further one, longest first, goes where most seconds are owed; what a genre leaves owing the next one makes up for.
    If validation or test stays empty, it is given the shortest group that no genre misses in training.

    Args:
        items: Clips, in any order; the order changes nothing.
        shares: Parts of training, validation and test; a split whose part is 0 gets nothing.
        seed: Orders groups of equal length, and nothing else.

    Returns:
        Split by clip name, in the order of the items.

    Raises:
        ConfigError: If there are too few groups to fill every split, or the shares are no three parts.
        ValueError: If a name appears twice or a length is not positive.

    Source: parts and genres as in the supplement of SoulDance (Li et al., 2025); groups instead of slices are ours.
    """
    clips = list(items)
    wanted = read_shares(shares)
    groups = _groups(clips, seed)
    by_genre: dict[str, list[_Group]] = defaultdict(list)
    for group in groups:
        by_genre[group.genre].append(group)
    owed_s = dict.fromkeys(wanted, 0.0)
    placed: dict[str, list[_Group]] = {split: [] for split in wanted}
    # Genres with few groups leave the most owing; those with many come last and can make up for it.
    for genre in sorted(by_genre, key=lambda name: (len(by_genre[name]), name)):
        own = sorted(by_genre[genre], key=lambda group: (-group.seconds, group.rank))
        for split, part in wanted.items():
            owed_s[split] += part * sum(group.seconds for group in own)
        for number, group in enumerate(own):
            split = max(owed_s, key=owed_s.__getitem__) if number else "train"
            owed_s[split] -= group.seconds
            placed[split].append(group)
    _fill(placed)
    found = {name: split for split, own in placed.items() for group in own for name in group.names}
    return {clip.name: found[clip.name] for clip in clips}


def find_split_leaks(items: Iterable[SplitItem], splits: Mapping[str, str]) -> list[str]:
    """What lies in two splits although it must not.

    Args:
        items: Clips with what they share.
        splits: Split by clip name; clips that it lacks are not looked at.

    Returns:
        A line for each key that clips of different splits share.
    """
    seen: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for item in items:
        if item.name in splits:
            for key in _keys(item):
                seen[key].setdefault(splits[item.name], item.name)
    return [
        f"{kind} {value}: " + ", ".join(f"{name} in {split}" for split, name in sorted(where.items()))
        for (kind, value), where in sorted(seen.items())
        if len(where) > 1
    ]


def _keys(item: SplitItem) -> list[tuple[str, str]]:
    return sorted({("name", item.name), *item.keys})


def read_shares(shares: Sequence[float]) -> dict[str, float]:
    """Checks shares.

    Args:
        shares: Parts of training, validation and test.

    Returns:
        Splits that get anything, with their parts of 1.

    Raises:
        ConfigError: If they are no three parts.
    """
    total = math.fsum(shares) if all(map(math.isfinite, shares)) else 0.0
    if len(shares) != len(SPLIT_NAMES) or min(shares) < 0.0 or shares[0] <= 0.0 or total <= 0.0:
        raise ConfigError(
            "SPLIT_SHARES_INVALID",
            f"The shares {', '.join(f'{share:g}' for share in shares)} are not those of {', '.join(SPLIT_NAMES)}.",
            "Give three numbers from 0, that of training above 0, for example --shares 8,1,1.",
        )
    return {split: share / total for split, share in zip(SPLIT_NAMES, shares, strict=True) if share > 0.0}


def _groups(clips: Sequence[SplitItem], seed: int) -> list[_Group]:
    """Connected clips, found by union-find over their keys."""
    ordered = sorted(clips, key=lambda clip: clip.name)
    for clip, following in pairwise(ordered):
        if clip.name == following.name:
            raise ValueError(f"clip '{clip.name}' appears twice")
    above = list(range(len(ordered)))

    def top(index: int) -> int:
        while above[index] != index:
            above[index] = above[above[index]]
            index = above[index]
        return index

    first: dict[tuple[str, str], int] = {}
    for index, clip in enumerate(ordered):
        if not (math.isfinite(clip.seconds) and clip.seconds > 0.0):
            raise ValueError(f"clip '{clip.name}' is {clip.seconds} s long, expected a positive length")
        for key in _keys(clip):
            one, other = sorted((top(index), top(first.setdefault(key, index))))
            above[other] = one
    members: dict[int, list[SplitItem]] = defaultdict(list)
    for index, clip in enumerate(ordered):
        members[top(index)].append(clip)
    ranks = np.random.default_rng(seed).permutation(len(members)).tolist()
    return [_group(own, rank) for own, rank in zip(members.values(), ranks, strict=True)]


def _group(clips: Sequence[SplitItem], rank: int) -> _Group:
    seconds: dict[str, float] = defaultdict(float)
    for clip in clips:
        seconds[clip.genre] += clip.seconds
    genre = max(sorted(seconds), key=seconds.__getitem__)
    return _Group(tuple(clip.name for clip in clips), genre, math.fsum(seconds.values()), rank)


def _fill(placed: dict[str, list[_Group]]) -> None:
    """Gives every empty split the shortest group that can be spared: its genre, or its split, has another."""
    for empty in [split for split, own in placed.items() if not own]:
        spare = []
        for split, own in placed.items():
            genres = [group.genre for group in own]
            rest = [len(own) if split != "train" else genres.count(group.genre) for group in own]
            spare += [
                (group.seconds, group.rank, split, group) for group, left in zip(own, rest, strict=True) if left > 1
            ]
        if not spare:
            num_groups = sum(map(len, placed.values()))
            raise ConfigError(
                "SPLIT_GROUPS_TOO_FEW",
                f"The clips form {num_groups} groups that share no song, take or dancer, at most one to spare a genre: "
                f"too few for {', '.join(placed)}.",
                "Add recordings of other songs, or put all into training with --shares 1,0,0 and divide by hand.",
            )
        _, _, split, group = min(spare, key=lambda item: item[:2])
        placed[split].remove(group)
        placed[empty].append(group)
