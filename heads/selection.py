"""Splits for honest selection: cross-validation that respects classes and groups, or a fixed validation split."""

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


def choose_splitter(
    y: np.ndarray, groups: np.ndarray | None = None, validation: np.ndarray | None = None, folds: int = 5, seed: int = 0
) -> Any:
    """Choose how trials are validated.

    Parameters
    ----------
    y
        Labels `[n]`.
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
    stratifiable = np.unique(y, return_counts=True)[1].max() >= folds
    if groups is None:
        kind = StratifiedKFold if stratifiable else KFold
        return kind(folds, shuffle=True, random_state=seed)
    if stratifiable and units <= MANY_GROUPS:  # its time grows with groups x folds x classes, in Python
        return StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    return GroupKFold(folds, shuffle=True, random_state=seed)


def hold_out(y: np.ndarray, groups: np.ndarray | None, share: float, seed: int = 0) -> np.ndarray:
    """Choose a test part: mask `[n]`, stratified by class, or by whole groups where there are groups.

    Raises
    ------
    ValueError
        If there are too few samples or groups to leave some on both sides.
    """
    rows = np.arange(len(y))
    if groups is not None:
        _, test = next(GroupShuffleSplit(1, test_size=share, random_state=seed).split(rows, groups=groups))
    else:
        counts = np.unique(y, return_counts=True)[1]
        enough = counts.min() >= 2 and min(share, 1 - share) * len(rows) >= len(counts)
        _, test = train_test_split(rows, test_size=share, stratify=y if enough else None, random_state=seed)
    mask = np.zeros(len(rows), bool)
    mask[test] = True
    return mask
