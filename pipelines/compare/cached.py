"""The cells without a backbone in the loop: the extraction, and linear heads on what it cached."""

from pathlib import Path
from typing import Any

import numpy as np

from extract.devices import choose_device
from heads import LinearHead, SweepCV, class_probabilities
from pipelines import bars
from pipelines.columns import read_columns
from pipelines.compare.job import Job
from pipelines.compare.stages import Stages, import_library
from pipelines.config_file import load_config
from pipelines.extract import extract_config, load_data, spec_of
from pipelines.models.backbone_module import BackboneModule

LEAST_PROBABILITY = 1e-12

TOLERANCE = 1e-4
"""Of the head's fit: several layers side by side take much longer to a finer one, and answer the same."""


def extract_features(job: Job) -> dict[str, Any]:
    """Run the backbone once over all samples, into a store that is empty; loading it is a stage of its own."""
    config = load_config(Path(job.config))
    import_library(config.backbones[0].name)
    stages = Stages(choose_device(config.device))
    with stages.stage("load"):
        kind = load_data(config.data).kind
        backbone = BackboneModule.load(spec_of(config.backbones[0]), kind, device=config.device)
    with stages.stage("extract"):
        loaded = {backbone.recipe.id: backbone.adapter}
        extraction = extract_config(config, job.store, progress=bars.Bars(), loaded=loaded)
    features = extraction.features[0]
    parameters = sum(parameter.numel() for parameter in backbone.parameters())
    return stages.to_json() | {"samples": features.extracted, "outputs": list(features.outputs), "parameters": parameters}


def fit_on_features(job: Job) -> tuple[dict[str, Any], np.ndarray]:
    """Try penalties of a linear head on standardised features at once; choose by validation; answer for the test samples."""
    config = load_config(Path(job.config))
    import_library(config.backbones[0].name)
    stages = Stages(choose_device(config.device))
    assert job.split is not None
    split = job.split
    with stages.stage("read"):
        extraction = extract_config(config, job.store)
        rows = np.concatenate([split.train, split.validation, split.test])
        X = read_columns(extraction.features[0], tuple(job.outputs), rows).X
    development, known = len(split.train) + len(split.validation), np.concatenate([split.train_codes, split.validation_codes])
    fold = (np.arange(len(split.train)), np.arange(len(split.train), development))
    with stages.stage("search"):
        grid = {"C": job.params["C"]}
        head = LinearHead(standardize=True, tol=TOLERANCE)
        sweep = SweepCV(head, grid, scoring=config.metric, cv=[fold], refit=False)
        sweep.fit(X[:development], known)
        scores = np.array(sweep.cv_results_["mean_test_score"], dtype=float)
        best = int(np.nanargmax(scores))
    with stages.stage("train"):
        head.set_params(C=grid["C"][best]).fit(X[fold[0]], split.train_codes)
    with stages.stage("answer"):
        answers = class_probabilities(head, X[development:], list(range(job.classes)))
    trials = [{"params": {"C": C}, "validation": float(score)} for C, score in zip(grid["C"], scores, strict=True)]
    return stages.to_json() | {
        "trials": trials,
        "chosen": {"C": grid["C"][best]},
        "validation": float(scores[best]),
        "width": X.shape[1],
        "trainable": int(head.coef_.size + head.intercept_.size),
        "epochs": None,
    }, np.log(np.maximum(answers, LEAST_PROBABILITY))
