"""`DatasetLoader`: a labelled data set by name or path, in training, validation and test parts."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from extract import LABEL_SEPARATOR, Columns, Samples, load_samples
from extract.sources.columns import split_labels
from heads import hold_out
from pipelines.errors import TrainingError, UsageError
from pipelines.models.objectives import read_task

SPLITS = ("train", "validation", "test")


class DatasetLoader:
    """Loads data sets: files and folders of this machine, and those of the Hugging Face hub."""

    @staticmethod
    def load_dataset(
        name_or_path: Any,
        task: str = "classification",
        *,
        text: str | None = None,
        image: str | None = None,
        label: str | Sequence[str] = "label",
        multilabel: bool | str | None = None,
        split: str | None = None,
        pair: str | None = None,
        validation_size: float = 0.1,
        test_size: float = 0.1,
        seed: int = 0,
        config: str | None = None,
        revision: str | None = None,
        limit: int | None = None,
    ) -> dict[str, Samples]:
        """Load a data set.

        Parameters
        ----------
        name_or_path
            A file (CSV, TSV, JSONL, Parquet), a folder `<class>/*` or `<split>/<class>/*` of images or text files, a name on
            the hub (`imdb`), or whatever else `load_samples` takes.
        task
            One of `pipelines.models.objectives.TASKS`; samples of another kind are refused.
        text, image, label, split, pair
            Names of columns, where they are not `text`, or else the images, and `label`. Several names as `label` are columns
            of 0 and 1, one a label that a sample has or not.
        multilabel
            What separates a sample's labels within the label column; True if it holds lists.
        validation_size, test_size
            Shares of the training part that become parts of their own where the data set has none, by class.
        seed
            Fixes which samples these are.
        config, revision
            Of a data set on the hub.
        limit
            Most samples in each part, drawn at random; None for all.

        Returns
        -------
        dict of str to Samples
            `train`, `validation` and `test`. Rows without a label are left out. A label is a name, or a list of names where a
            sample may have several.

        Raises
        ------
        SourceError
            If there is no such data set or column, with the nearest name.
        TrainingError
            If it has too few samples with a label.
        """
        kind, targets = read_task(task)
        local = not isinstance(name_or_path, str) or Path(name_or_path).exists() or Path(name_or_path).suffix != ""
        source = name_or_path if local or name_or_path.startswith("hub:") else f"hub:{name_or_path}"
        columns = Columns(text, label if isinstance(label, str) else tuple(label), split, image=image, pair=pair)
        samples = load_samples(source, columns, hub_config=config, hub_revision=revision)
        if isinstance(multilabel, str) and samples.labels is not None:
            samples = replace(samples, labels=[_several(name, multilabel) for name in samples.labels])
        if kind is not None and samples.kind not in (kind, None):
            raise UsageError(
                f"{samples.name}: task {task!r} takes samples of kind {kind}, and these are of kind {samples.kind}"
            )
        parts = _parts(samples, validation_size, test_size, seed)
        rng = np.random.default_rng(seed)
        if limit is not None:
            parts = {part: np.sort(rng.permutation(rows)[:limit]) for part, rows in parts.items()}
        lists = bool(multilabel) or targets == "multilabel" or not isinstance(label, str)
        if samples.labels is not None and (lists or any(LABEL_SEPARATOR in (name or "") for name in samples.labels)):
            samples = replace(samples, labels=[None if name is None else split_labels(name) for name in samples.labels])
        return {part: samples.take(rows.tolist()) for part, rows in parts.items()}


def _several(label: str | None, separator: str) -> str | None:
    """Return a sample's labels as sources join those of a list."""
    return None if label is None else LABEL_SEPARATOR.join(split_labels(label, separator))


def _parts(samples: Samples, validation_size: float, test_size: float, seed: int) -> dict[str, np.ndarray]:
    """Return each part's rows; parts that the source does not have come out of the training part."""
    labels: Sequence[str | None] = samples.labels or [None] * len(samples)
    splits = samples.splits or [None] * len(samples)
    usable = np.array([label is not None and row not in samples.faults for row, label in enumerate(labels)], bool)
    told = np.array([split or "train" for split in splits], dtype=object)
    parts = {part: np.flatnonzero(usable & (told == part)) for part in SPLITS}
    for part, size in (("test", test_size), ("validation", validation_size)):
        if len(parts[part]) or size == 0:
            continue
        rows = parts["train"]
        groups = None if samples.groups is None else np.array([str(samples.groups[row]) for row in rows.tolist()])
        try:
            held = hold_out(np.array([labels[row] for row in rows.tolist()]), groups, size, seed)
        except ValueError as error:
            raise TrainingError(f"{samples.name}: no {part} part can be taken out of {len(rows)} samples: {error}") from error
        parts["train"], parts[part] = rows[~held], rows[held]
    if not len(parts["train"]):
        raise TrainingError(f"{samples.name}: no training sample has a label")
    return parts
