"""Duplicates: samples that are the same, texts that are the same but for case, spaces and punctuation, and near duplicates."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cache.keys import sortable
from pipelines.quality.neighbours import Neighbours

EXACT, SAME_TEXT, NEAR = "exact_duplicate", "same_text", "near_duplicate"
_OTHER = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Pair:
    """Two samples that say the same: positions, `kind`, and how similar they are (1 for the same)."""

    first: int
    second: int
    kind: str
    similarity: float


def find_pairs(
    keys: np.ndarray, inputs: Sequence[Any], neighbours: Neighbours | None, similarity: float, apart: np.ndarray
) -> list[Pair]:
    """Find duplicates; every sample is the second of a pair at most once for either side of the splits.

    Parameters
    ----------
    keys
        `[n, 16]` sample keys.
    inputs
        The samples; texts among them are also compared without case, spaces and punctuation.
    neighbours
        Nearest others, for near duplicates; None to leave these out.
    similarity
        From which cosine similarity on samples are near duplicates.
    apart
        `[n]`, which side of the splits a sample is on: a sample is compared with the first like it on its own side, and with
        the first like it on the other.
    """
    pairs = _same(np.unique(sortable(keys), return_inverse=True)[1], apart, EXACT)
    told = {frozenset((pair.first, pair.second)) for pair in pairs}
    texts = np.array([_normalised(sample) or f"\0{row}" for row, sample in enumerate(inputs)], dtype=object)
    for pair in _same(np.unique(texts, return_inverse=True)[1], apart, SAME_TEXT):
        if frozenset((pair.first, pair.second)) not in told:
            told.add(frozenset((pair.first, pair.second)))
            pairs.append(pair)
    known = {pair.second for pair in pairs}
    if neighbours is None:
        return pairs
    for second, column in zip(*(part.tolist() for part in np.nonzero(neighbours.similarity >= similarity)), strict=True):
        first = int(neighbours.positions[second, column])
        both = frozenset((first, second))
        if both not in told and not (second in known and apart[first] == apart[second]):
            told.add(both)
            pairs.append(Pair(min(both), max(both), NEAR, float(neighbours.similarity[second, column])))
    return pairs


def _same(codes: np.ndarray, apart: np.ndarray, kind: str) -> list[Pair]:
    """Pair every sample with the first that has its code on its own side, and with the first on the other side."""
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.append(True, codes[order][1:] != codes[order][:-1]))
    pairs = []
    for members in np.split(order, starts[1:]):
        if len(members) < 2:
            continue
        first = {side: int(members[apart[members] == side][0]) for side in np.unique(apart[members])}
        for member in members.tolist():
            for start in first.values():
                if start < member:
                    pairs.append(Pair(start, member, kind, 1.0))
    return pairs


def _normalised(sample: Any) -> str:
    """Return a text without case, spaces and punctuation; nothing for what is no text or has no letters."""
    if isinstance(sample, tuple | list) and all(isinstance(part, str) for part in sample):
        sample = "\1".join(sample)
    if not isinstance(sample, str):
        return ""
    return _OTHER.sub(" ", unicodedata.normalize("NFKC", sample).casefold()).strip()
