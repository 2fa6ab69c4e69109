import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier

from heads import LinearHead, MLPHead, load_head, save_head

HEADS = [LinearHead(C=3.0), MLPHead(hidden=(8, 4), max_epochs=3), LinearDiscriminantAnalysis(), RandomForestClassifier(5)]


@pytest.mark.parametrize("head", HEADS, ids=lambda head: type(head).__name__)
@pytest.mark.parametrize("classes", [2, 3])
def test_a_head_predicts_as_before_after_saving(blobs, tmp_path, head, classes):
    X, y = blobs
    X, y = (X[y != "neu"], y[y != "neu"]) if classes == 2 else (X, y)
    head.fit(X, y)
    save_head(head, tmp_path, {"recipe": "0123", "output": "pooled"})
    saved = load_head(tmp_path)
    assert saved.expects == {"recipe": "0123", "output": "pooled"}
    assert json.dumps(saved.head.get_params(), default=str) == json.dumps(head.get_params(), default=str)
    assert np.array_equal(saved.head.predict(X), head.predict(X))
    np.testing.assert_allclose(saved.head.predict_proba(X), head.predict_proba(X), rtol=1e-6)


@pytest.mark.parametrize("y", [np.array([True, False]), np.array([3, 7])])
def test_classes_keep_their_type(tmp_path, y):
    X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    save_head(LinearHead().fit(X, np.tile(y, 20)), tmp_path)
    assert load_head(tmp_path).head.classes_.dtype == y.dtype


@pytest.fixture
def saved(blobs, tmp_path):
    save_head(MLPHead(hidden=4, max_epochs=1).fit(*blobs), tmp_path / "head")
    return tmp_path / "head"


def edit(folder, **changes):
    description = json.loads((folder / "head.json").read_text())
    (folder / "head.json").write_text(json.dumps(description | changes))


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: shutil.rmtree(folder),
        lambda folder: (folder / "head.json").write_text("{"),
        lambda folder: (folder / "head.json").write_text("[]"),
        lambda folder: (folder / "head.safetensors").write_bytes(b"\xff" * 100),
        lambda folder: edit(folder, format=99),
        lambda folder: edit(folder, kind="os.system"),
        lambda folder: edit(folder, features=10**9),
        lambda folder: edit(folder, classes=["a"]),
        lambda folder: edit(folder, params={"hidden": [10**9]}),
        lambda folder: edit(folder, params={"unknown": 1}),
        lambda folder: save_file(
            {k: v[:1] for k, v in load_file(folder / "head.safetensors").items()}, folder / "head.safetensors"
        ),
    ],
)
def test_a_damaged_or_hostile_head_is_one_clear_line(saved, damage):
    damage(saved)
    with pytest.raises(ValueError, match="holds no usable head") as caught:
        load_head(saved)
    assert str(saved) in str(caught.value)


def test_a_skops_file_with_foreign_types_is_refused(blobs, tmp_path):
    from sklearn.preprocessing import FunctionTransformer

    head = FunctionTransformer(func=shutil.rmtree)
    save_head(head, tmp_path)
    with pytest.raises(ValueError, match="types that are not scikit-learn's: shutil.rmtree"):
        load_head(tmp_path)
