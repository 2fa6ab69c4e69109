"""Classify new texts with a run's head, through the feature cache."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from extract import Columns, Samples, extract, load_samples
from pipelines.errors import RunError, UsageError
from pipelines.run import read_run


def predict(
    run: Path, texts: Sequence[str] = (), file: Path | None = None, store: str | None = None, progress: Any = None
) -> list[dict[str, Any]]:
    """Predict the class of every text, in order.

    Parameters
    ----------
    run
        A run folder.
    texts, file
        What to classify: texts, or a file of them (`.txt`: one a line; CSV, TSV, JSONL, Parquet: the run's columns).
    store
        Feature store to use instead of the run's.
    progress
        Told how extraction goes.

    Returns
    -------
    list of dict
        `input`, `label` and `probabilities` (class -> probability; None if the head has none) of every text. For a text that
        cannot be used, `label` is None and `reason` says why.

    Raises
    ------
    RunError
        If the run cannot be read or its backbone is no longer what the head was trained on.
    """
    saved = read_run(run)
    if bool(texts) == (file is not None):
        raise UsageError("give texts to classify, or a file of them with --file")
    samples = Samples.of(texts, "command line") if file is None else _read(file, saved.columns)
    place = store or saved.store
    features = extract(samples, saved.backbone, place, [saved.output], device=saved.device, keep_table=False, progress=progress)
    if features.recipe.id != saved.recipe:
        raise RunError(
            f"{run}: its head expects features of recipe {saved.recipe[:12]}, and {saved.backbone.backbone} now gives "
            f"{features.recipe.id[:12]}: weights, settings or precision have changed; train again"
        )
    predictions: list[dict[str, Any]] = [{"input": text, "label": None, "probabilities": None} for text in samples.inputs]
    for skipped in features.skipped:
        predictions[skipped.row]["reason"] = skipped.reason
    if len(features.rows):
        X = features.array()
        labels = saved.head.predict(X)
        probabilities = saved.head.predict_proba(X) if hasattr(saved.head, "predict_proba") else None
        names = [str(name) for name in saved.head.classes_]
        for number, row in enumerate(features.rows.tolist()):
            predictions[row]["label"] = str(labels[number])
            if probabilities is not None:
                predictions[row]["probabilities"] = dict(zip(names, probabilities[number].tolist(), strict=True))
    return predictions


def _read(file: Path, columns: Columns) -> Samples:
    if file.suffix != ".txt":
        return load_samples(file, columns)
    try:
        text = file.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from error
    return Samples.of(text.split("\n")[: -1 if text.endswith("\n") else None], file.name)
