"""Honest selection: splits that respect classes and groups, and the rule by which a trial is chosen."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    PredefinedSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    train_test_split,
)

MANY_GROUPS = 2000
FAR_OFF = 0.05
"""By so much the share of samples held out in groups may miss the one that is asked for."""


def choose_splitter(
    y: np.ndarray, groups: np.ndarray | None = None, validation: np.ndarray | None = None, folds: int = 5, seed: int = 0
) -> Any:
    """Choose how trials are validated.

    Parameters
    ----------
    y
        Labels `[n]`; folds are not stratified by several labels a sample `[n, k]` or by numbers.
    groups
        `[n]`; a group is never on both sides.
    validation
        Mask `[n]`: these samples validate and all others train, in one split.
    folds, seed
        Number of folds and what fixes them, where there is no validation split.

    Returns
    -------
    splitter
        For scikit-learn's `cv`; stratified by class where a class has at least as many samples as there are folds.

    Raises
    ------
    ValueError
        If there are fewer samples or groups than folds.
    """
    if validation is not None:
        return PredefinedSplit(np.where(validation, 0, -1))
    units = len(y) if groups is None else len(np.unique(groups))
    if units < folds:
        raise ValueError(f"{units} {'samples' if groups is None else 'groups'} cannot be split into {folds} folds")
    stratifiable = is_classes(y) and np.unique(y, return_counts=True)[1].max() >= folds
    if groups is None:
        kind = StratifiedKFold if stratifiable else KFold
        return kind(folds, shuffle=True, random_state=seed)
    if stratifiable and units <= MANY_GROUPS:  # its time grows with groups x folds x classes, in Python
        return StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    return GroupKFold(folds, shuffle=True, random_state=seed)


def one_standard_error(means: np.ndarray, deviations: np.ndarray, folds: int, sizes: Sequence[Any]) -> int:
    """Choose the simplest trial whose score is within one standard error of the best (Breiman et al. 1984).

    Parameters
    ----------
    means, deviations
        `[t]`, each trial's mean score over the folds and its standard deviation; NaN where it failed. Higher is better.
    folds
        Number of folds.
    sizes
        `[t]`, what orders trials from simple to complex; of equally simple ones the better is taken.

    Returns
    -------
    int
        The trial's position.

    Raises
    ------
    ValueError
        If no trial has a score, or there is a single fold and so no standard error.
    """
    if folds < 2:
        raise ValueError("the rule of one standard error takes at least 2 folds")
    if not np.isfinite(means).any():
        raise ValueError("no trial has a score")
    best = int(np.nanargmax(means))
    bound = means[best] - deviations[best] * np.sqrt(folds / (folds - 1)) / np.sqrt(folds)
    within: list[int] = np.flatnonzero(np.nan_to_num(means, nan=-np.inf) >= bound).tolist()
    return min(within, key=lambda trial: (sizes[trial], -means[trial]))


def hold_out(y: np.ndarray, groups: np.ndarray | None, share: float, seed: int = 0) -> np.ndarray:
    """Choose a test part: mask `[n]`, stratified by class, or by whole groups where there are groups.

    Groups are drawn by their number; where they are of such different sizes that this misses the share, by their sizes.

    Raises
    ------
    ValueError
        If there are too few samples or groups to leave some on both sides.
    """
    rows = np.arange(len(y))
    if groups is not None:
        _, test = next(GroupShuffleSplit(1, test_size=share, random_state=seed).split(rows, groups=groups))
        if abs(len(test) / len(rows) - share) > FAR_OFF:
            test = rows[_groups_of_share(groups, share, seed)]
    else:
        counts = np.unique(y, return_counts=True)[1] if is_classes(y) else np.zeros(1)
        enough = counts.min() >= 2 and min(share, 1 - share) * len(rows) >= len(counts)
        _, test = train_test_split(rows, test_size=share, stratify=y if enough else None, random_state=seed)
    mask = np.zeros(len(rows), bool)
    mask[test] = True
    return mask


def _groups_of_share(groups: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Return the mask `[n]` of groups that come as near to a share of the samples as groups in a drawn order do."""
    names, which, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    taken, total, wanted = np.zeros(len(names), bool), 0, share * len(groups)
    for group in np.random.default_rng(seed).permutation(len(names)).tolist()[:-1]:  # one is left on the other side
        if abs(total + sizes[group] - wanted) < abs(total - wanted):
            taken[group], total = True, total + int(sizes[group])
    if not total:
        taken[sizes.argmin()] = True
    mask: np.ndarray = taken[which]
    return mask


def is_classes(y: np.ndarray) -> bool:
    """Tell whether targets are one class each, and neither numbers nor several labels."""
    return y.ndim == 1 and y.dtype.kind != "f"
