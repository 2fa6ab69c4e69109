import json

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from torch import nn

pytest.importorskip("onnxscript")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from heads import (  # noqa: E402
    ABMILHead,
    AttentionHead,
    AttentionPoolHead,
    GreedyHead,
    GroupLassoHead,
    GroupLassoRegressor,
    KNNHead,
    KNNRegressor,
    LayerMixHead,
    LDAHead,
    LinearHead,
    MLPHead,
    MLPRegressor,
    NearestMeanHead,
    RidgeHead,
    RidgeRegressor,
    ZeroShotHead,
    export_onnx,
)

pytestmark = pytest.mark.slow
QUICK = {"max_epochs": 2}


def run(path, **inputs):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)[0]


CLASSIFIERS = [
    LinearHead(),
    LDAHead(),
    NearestMeanHead("cosine"),
    ZeroShotHead(),
    MLPHead(norm="batch", **QUICK),
    GroupLassoHead(),
    GreedyHead(),
    LayerMixHead(**QUICK),
]


@pytest.mark.parametrize("head", CLASSIFIERS, ids=lambda head: type(head).__name__)
@pytest.mark.parametrize("classes", [2, 3])
def test_a_classifier_s_file_gives_its_probabilities(blobs, tmp_path, head, classes):
    X, y = blobs
    X, y = (X[y != "neu"], y[y != "neu"]) if classes == 2 else (X, y)
    head.fit(X, y)
    export_onnx(head, tmp_path / "head.onnx", expects={"recipe": "0123"})
    np.testing.assert_allclose(run(tmp_path / "head.onnx", features=X), head.predict_proba(X), atol=1e-4)
    notes = {prop.key: json.loads(prop.value) for prop in onnx.load(tmp_path / "head.onnx").metadata_props}
    assert notes == {"classes": head.classes_.tolist(), "expects": {"recipe": "0123"}}


def test_several_labels_scores_and_values_come_out_as_in_python(blobs, tmp_path):
    X, _ = blobs
    several = X[:, :3] > 0
    path = tmp_path / "head.onnx"
    for head, y, expected in (
        (LinearHead(), several, "predict_proba"),
        (MLPHead(**QUICK), several, "predict_proba"),
        (RidgeHead(), several, "decision_function"),
        (RidgeRegressor(), X[:, :2] * 5, "predict"),
        (GroupLassoRegressor(), X[:, :2] * 5, "predict"),
        (MLPRegressor(**QUICK), X[:, :2] * 5 + 40, "predict"),
    ):
        head.fit(X, y)
        export_onnx(head, path)
        np.testing.assert_allclose(run(path, features=X), getattr(head, expected)(X), atol=2e-4)


@pytest.mark.parametrize("cls", [AttentionHead, AttentionPoolHead, ABMILHead])
def test_a_head_of_tokens_takes_any_number_of_them_with_a_mask(bags, tmp_path, cls):
    samples, y = bags
    head = cls(**QUICK).fit(samples, y)
    export_onnx(head, tmp_path / "head.onnx")
    for count in (1, 7):
        length = max(len(sample) for sample in samples[:count])
        padded, mask = np.zeros((count, length, 12), np.float32), np.zeros((count, length), bool)
        for row, sample in enumerate(samples[:count]):
            padded[row, : len(sample)], mask[row, : len(sample)] = sample, True
        found = run(tmp_path / "head.onnx", features=padded, mask=mask)
        np.testing.assert_allclose(found, head.predict_proba(samples[:count]), atol=1e-4)


class MeanOfStates(nn.Module):
    """A transformers encoder with the mean over real tokens."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids, attention_mask):
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        real = attention_mask[:, :, None].to(states.dtype)
        return (states * real).sum(1) / real.sum(1)


def test_a_text_backbone_with_its_head_is_one_file(tiny_bert, tmp_path):
    from transformers import AutoModel

    backbone = MeanOfStates(AutoModel.from_pretrained(tiny_bert, attn_implementation="eager").eval())
    ids = torch.randint(4, 20, (12, 9), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[::2, 5:] = 0
    with torch.inference_mode():
        features = backbone(ids, mask).numpy()
    head = LinearHead().fit(features, np.arange(12) % 3)
    export_onnx(head, tmp_path / "all.onnx", backbone, {"input_ids": ids[:3], "attention_mask": mask[:3]})
    found = run(tmp_path / "all.onnx", input_ids=ids.numpy(), attention_mask=mask.numpy())
    np.testing.assert_allclose(found, head.predict_proba(features), atol=1e-4)
    shorter = run(tmp_path / "all.onnx", input_ids=ids[:1, :5].numpy(), attention_mask=mask[:1, :5].numpy())
    np.testing.assert_allclose(shorter, found[:1], atol=1e-4)


def test_an_image_backbone_with_its_head_is_one_file(tmp_path):
    backbone = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    images = torch.randn(40, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features = backbone(images).numpy()
    head = MLPHead(**QUICK).fit(features, np.arange(40) % 2)
    export_onnx(head, tmp_path / "all.onnx", backbone, {"pixels": images[:2]})
    np.testing.assert_allclose(run(tmp_path / "all.onnx", pixels=images.numpy()), head.predict_proba(features), atol=1e-4)


@pytest.mark.parametrize(("metric", "weights"), [("cosine", "softmax"), ("euclidean", "distance")])
def test_nearest_samples_vote_as_in_python(blobs, tmp_path, metric, weights):
    X, y = blobs
    asked, path = X[400:] + 0.01, tmp_path / "head.onnx"
    for head, target in (
        (KNNHead(5, metric, weights, class_weight="balanced"), y[:400]),
        (KNNHead(5, metric, "uniform"), X[:400, :3] > 0),
        (KNNHead(5000, metric, weights), y[:400]),
    ):
        export_onnx(head.fit(X[:400], target), path)
        np.testing.assert_allclose(run(path, features=asked), head.predict_proba(asked), atol=1e-4)
    values = KNNRegressor(5, metric, weights).fit(X[:400], X[:400, :2] * 5)
    export_onnx(values, path)
    np.testing.assert_allclose(run(path, features=asked), values.predict(asked), atol=1e-3)


def test_a_training_sample_itself_decides_alone_where_the_inverse_distance_votes(blobs, tmp_path):
    X, y = blobs
    head = KNNHead(5, "euclidean", "distance").fit(X, y)
    export_onnx(head, tmp_path / "head.onnx")
    np.testing.assert_allclose(run(tmp_path / "head.onnx", features=X), head.predict_proba(X), atol=1e-4)


FOREIGN = [
    LogisticRegression(),
    LinearSVC(),
    DecisionTreeClassifier(max_depth=3),
    RandomForestClassifier(5, random_state=0),
    GaussianNB(),
    make_pipeline(StandardScaler(), LogisticRegression()),
    CalibratedClassifierCV(LinearSVC(), cv=2),
]


@pytest.mark.parametrize("head", FOREIGN, ids=lambda head: type(head).__name__)
@pytest.mark.parametrize("classes", [2, 3])
def test_a_scikit_learn_classifier_s_file_gives_what_it_gives(blobs, tmp_path, head, classes):
    X, y = blobs
    head = clone(head).fit(X[y != "neu"] if classes == 2 else X, y[y != "neu"] if classes == 2 else y)
    export_onnx(head, tmp_path / "head.onnx")
    name = "predict_proba" if hasattr(head, "predict_proba") else "decision_function"
    expected = getattr(head, name)(X)
    expected = np.stack([-expected, expected], axis=1) if expected.ndim == 1 else expected
    np.testing.assert_allclose(run(tmp_path / "head.onnx", features=X), expected, atol=1e-4)


def test_a_scikit_learn_regressor_s_file_gives_its_values(blobs, tmp_path):
    X, _ = blobs
    head = Ridge().fit(X, X[:, 0] * 5)
    export_onnx(head, tmp_path / "head.onnx")
    np.testing.assert_allclose(run(tmp_path / "head.onnx", features=X)[:, 0], head.predict(X), atol=1e-4)


def test_a_backbone_with_a_scikit_learn_classifier_is_one_file(tmp_path):
    backbone = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    images = torch.randn(40, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features = backbone(images).numpy()
    head = RandomForestClassifier(5, random_state=0).fit(features, np.array(["a", "b"])[np.arange(40) % 2])
    export_onnx(head, tmp_path / "all.onnx", backbone, {"pixels": images[:2]}, {"recipe": "r"})
    np.testing.assert_allclose(run(tmp_path / "all.onnx", pixels=images.numpy()), head.predict_proba(features), atol=1e-4)


def test_a_file_that_gives_something_else_is_not_kept(blobs, tmp_path, monkeypatch):
    head = Ridge().fit(blobs[0], blobs[0][:, 0])
    monkeypatch.setattr("heads.onnx.answer", lambda head: lambda features: np.ones((len(features), 1)) * 1e3)
    with pytest.raises(RuntimeError, match="from Python's"):
        export_onnx(head, tmp_path / "head.onnx")
    assert list(tmp_path.iterdir()) == []


def test_what_has_no_onnx_form_is_told_in_one_line(blobs, tmp_path):
    with pytest.raises(ValueError, match="NearestCentroid has no ONNX form"):
        export_onnx(NearestCentroid().fit(*blobs), tmp_path / "head.onnx")
    with pytest.raises(ValueError, match="with an `example`"):
        export_onnx(LinearHead().fit(*blobs), tmp_path / "head.onnx", backbone=nn.Flatten())


def test_what_cannot_be_exported_is_told_in_a_line(blobs, tmp_path):
    head = LinearHead().fit(*blobs)
    with pytest.raises(ValueError, match="the backbone gives 7 features a sample, and the head was fitted on 20"):
        export_onnx(head, tmp_path / "both.onnx", torch.nn.Linear(3, 7), {"x": torch.zeros(2, 3)})
    with pytest.raises(ValueError, match="is a folder; name a file in it"):
        export_onnx(head, tmp_path)
    with pytest.raises(NotFittedError):
        export_onnx(LinearHead(), tmp_path / "head.onnx")
    export_onnx(head, tmp_path / "new" / "head.onnx")
    assert (tmp_path / "new" / "head.onnx").is_file()
