import contextlib
import io
import json
import os
import random
import resource
import shutil
import zipfile

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from sklearn.calibration import CalibratedClassifierCV
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from torch import nn

from heads import (
    ABMILHead,
    AttentionHead,
    AttentionPoolHead,
    GreedyHead,
    GreedyRegressor,
    GroupLassoHead,
    GroupLassoRegressor,
    KNNHead,
    KNNRegressor,
    LDAHead,
    LinearHead,
    MLPHead,
    MLPRegressor,
    NearestMeanHead,
    RidgeHead,
    RidgeRegressor,
    SweepCV,
    TorchHead,
    ZeroShotHead,
    load_head,
    save_head,
)

QUICK = {"max_epochs": 3}
HEADS = [
    LinearHead(C=3.0),
    MLPHead(hidden=(8, 4), norm="batch", **QUICK),
    GreedyHead(),
    GroupLassoHead(),
    LDAHead(),
    NearestMeanHead("cosine"),
    KNNHead(k=3),
    ZeroShotHead(),
    RidgeHead(),
    AttentionHead(**QUICK),
    AttentionPoolHead(**QUICK),
    ABMILHead(**QUICK),
    LinearDiscriminantAnalysis(),
    RandomForestClassifier(5),
]


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
    if hasattr(head, "predict_proba"):
        np.testing.assert_allclose(saved.head.predict_proba(X), head.predict_proba(X), rtol=1e-6)


@pytest.mark.parametrize(
    "head",
    [RidgeRegressor(), KNNRegressor(), MLPRegressor(**QUICK), GreedyRegressor(), GroupLassoRegressor()],
    ids=lambda head: type(head).__name__,
)
@pytest.mark.parametrize("columns", [slice(0, 2), 0])
def test_a_regressor_predicts_as_before_after_saving(blobs, tmp_path, head, columns):
    X, _ = blobs
    head.fit(X, X[:, columns] * 3)
    save_head(head, tmp_path)
    np.testing.assert_allclose(load_head(tmp_path).head.predict(X), head.predict(X), rtol=1e-6)


@pytest.mark.parametrize("head", [LinearHead(), RidgeHead(), KNNHead(), MLPHead(**QUICK)], ids=lambda head: type(head).__name__)
def test_several_labels_a_sample_come_back_with_their_names(blobs, tmp_path, head):
    X, _ = blobs
    head.fit(X, [[name for name, has in zip("ab", row, strict=True) if has] for row in X[:, :2] > 0])
    save_head(head, tmp_path)
    found = load_head(tmp_path).head
    assert found.classes_.tolist() == ["a", "b"]
    assert np.array_equal(found.predict(X), head.predict(X))
    assert found.predict(X).shape == (len(X), 2)


def test_a_head_around_a_module_comes_back_with_that_module_and_not_without(blobs, tmp_path):
    def make(input_dim, num_classes):
        return nn.Sequential(nn.Linear(input_dim, 4), nn.Tanh(), nn.Linear(4, num_classes))

    head = TorchHead(module=make, **QUICK).fit(*blobs)
    save_head(head, tmp_path)
    assert np.array_equal(load_head(tmp_path, module=make).head.predict(blobs[0]), head.predict(blobs[0]))
    with pytest.raises(ValueError, match=r"trained around .*make`; give that"):
        load_head(tmp_path)


def test_class_weights_by_number_come_back_by_number(blobs, tmp_path):
    X, _ = blobs
    head = LinearHead(class_weight={0: 1.0, 1: 2.5}).fit(X, (X[:, 0] > 0).astype(int))
    save_head(head, tmp_path)
    assert load_head(tmp_path).head.class_weight == {0: 1.0, 1: 2.5}


def test_features_of_another_recipe_are_refused_in_one_line(blobs, tmp_path):
    save_head(LinearHead().fit(*blobs), tmp_path, {"recipe": "0123", "output": "pooled"})
    saved = load_head(tmp_path)
    saved.check(recipe="0123", output="pooled")
    with pytest.raises(ValueError, match="expects recipe '0123', and these features are of recipe '9999'"):
        saved.check(recipe="9999", output="pooled")


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


def test_a_pipeline_with_a_head_in_it_comes_back(blobs, tmp_path):
    pipeline = make_pipeline(StandardScaler(), LinearHead()).fit(*blobs)
    save_head(pipeline, tmp_path)
    assert np.array_equal(load_head(tmp_path).head.predict_proba(blobs[0]), pipeline.predict_proba(blobs[0]))


@pytest.mark.parametrize(
    ("make", "way_out"),
    [
        (lambda: SweepCV(LinearHead(), {"C": [1, 2]}), "SweepCV is a search; save its `best_estimator_`"),
        (
            lambda: make_pipeline(StandardScaler(), MLPHead(max_epochs=1)),
            "Pipeline holds MLPHead, whose weights are tensors; save that head",
        ),
    ],
)
def test_what_could_not_be_read_back_is_not_saved_and_spoils_nothing(blobs, tmp_path, make, way_out):
    save_head(LinearHead().fit(*blobs), tmp_path)
    with pytest.raises(ValueError, match=way_out):
        save_head(make().fit(*blobs), tmp_path)
    load_head(tmp_path)


@pytest.mark.parametrize(
    "head", [GridSearchCV(SGDClassifier(loss="log_loss"), {"alpha": [1e-3, 1e-2]}, cv=2), LDAHead(priors=[0.0, 0.5, 0.5])]
)
def test_searches_of_scikit_learn_and_infinities_come_back(blobs, tmp_path, head):
    save_head(head.fit(*blobs), tmp_path)
    assert np.array_equal(load_head(tmp_path).head.predict(blobs[0]), head.predict(blobs[0]))


def test_nothing_is_left_of_another_kind_of_head(blobs, tmp_path):
    save_head(LinearHead().fit(*blobs), tmp_path)
    save_head(GaussianNB().fit(*blobs), tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["head.json", "head.skops"]


def test_damaged_numbers_are_noticed(blobs, tmp_path):
    save_head(LinearHead().fit(*blobs), tmp_path)
    file = tmp_path / "head.safetensors"
    file.write_bytes(file.read_bytes()[:-8] + b"\xff" * 8)
    with pytest.raises(ValueError, match="head.safetensors is damaged: it is not what was saved"):
        load_head(tmp_path)
    told = json.loads((tmp_path / "head.json").read_text())
    del told["sha256"]  # as heads were saved before
    (tmp_path / "head.json").write_text(json.dumps(told))
    with pytest.raises(ValueError, match="head.safetensors is damaged: it holds NaN in the place of numbers"):
        load_head(tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"kind": "zzz"}, "head kind 'zzz' is not known here"),
        ({"multilabel": "zzz"}, "`multilabel` is 'zzz' where true or false"),
        (None, "head.json lacks 'format'"),
    ],
)
def test_what_is_wrong_in_the_description_is_named(blobs, tmp_path, change, told):
    save_head(LinearHead().fit(*blobs), tmp_path)
    known = json.loads((tmp_path / "head.json").read_text())
    (tmp_path / "head.json").write_text(json.dumps({} if change is None else known | change))
    with pytest.raises(ValueError, match=told):
        load_head(tmp_path)


def test_a_skops_file_with_foreign_types_is_refused(blobs, tmp_path):
    from sklearn.preprocessing import FunctionTransformer

    head = FunctionTransformer(func=shutil.rmtree)
    with pytest.raises(ValueError, match=r"FunctionTransformer holds shutil\.rmtree, which are not read back; save the head"):
        save_head(head, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    put_skops(head, tmp_path)
    with pytest.raises(ValueError, match="types that are not scikit-learn's: shutil.rmtree"):
        load_head(tmp_path)


def put_skops(head, folder):
    """Write what somebody else might."""
    import skops.io

    skops.io.dump(head, folder / "head.skops")
    (folder / "head.json").write_text(json.dumps({"format": 1, "kind": "skops", "expects": {}}))


def test_a_skops_file_that_names_a_function_through_scikit_learn_s_own_imports_is_refused(tmp_path):
    from urllib.request import urlretrieve

    from sklearn.preprocessing import FunctionTransformer

    put_skops(FunctionTransformer(func=urlretrieve), tmp_path)
    with zipfile.ZipFile(tmp_path / "head.skops") as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    assert b"urllib.request" in files["schema.json"]
    with zipfile.ZipFile(tmp_path / "head.skops", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content.replace(b"urllib.request", b"sklearn.datasets._base"))
    with pytest.raises(ValueError, match=r"not scikit-learn's: sklearn\.datasets\._base\.urlretrieve"):
        load_head(tmp_path)


@pytest.mark.parametrize(
    "head",
    [HistGradientBoostingClassifier(max_iter=2), SGDClassifier(loss="log_loss"), CalibratedClassifierCV(LinearSVC(), cv=2)],
    ids=lambda head: type(head).__name__,
)
def test_heads_with_private_parts_of_scikit_learn_come_back(blobs, tmp_path, head):
    save_head(head.fit(*blobs), tmp_path)
    assert np.array_equal(load_head(tmp_path).head.predict(blobs[0]), head.predict(blobs[0]))


def mutate(content: bytes, rng: random.Random) -> bytes:
    """Change a file as damage or malice would: bits, bytes, pieces, and words for other words."""
    data = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 8])):
        place = rng.randrange(len(data) + 1)
        kind = rng.randrange(6)
        if kind == 0 and place < len(data):
            data[place] ^= 1 << rng.randrange(8)
        elif kind == 1 and place < len(data):
            data[place] = rng.randrange(256)
        elif kind == 2:
            del data[place : place + rng.choice([1, 4, 64, 4096])]
        elif kind == 3:
            data[place:place] = data[place : place + rng.choice([1, 8, 256])]
        elif kind == 4:
            data[place:place] = rng.choice(
                [b"[" * 2000, b"9" * 30, b'"os.system"', b"null", b"-1", b"1e308", b"NaN", b"\x00" * 8]
            )
        else:
            old, new = rng.choice(
                [
                    (b"mlp", b"torch"),
                    (b"mlp", b"skops"),
                    (b"F32", b"F64"),
                    (b"F32", b"BF16"),
                    (b"20", b"2000000000"),
                    (b"8", b"-8"),
                ]
            )
            data = bytearray(bytes(data).replace(old, new))
    return bytes(data)


def mutate_inside(archive: bytes, rng: random.Random) -> bytes:
    """Change a file inside a zip file, with a checksum that fits."""
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, mutate(content, rng) if name == "schema.json" or rng.random() < 0.3 else content)
    return changed.getvalue()


def why_refused(folder, X):
    """Return the one line of a head that cannot be read; one that can must predict, or say why not."""
    try:
        head = load_head(folder).head
    except ValueError as error:
        return str(error)
    with contextlib.suppress(Exception):
        head.predict(X)
    return None


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_five_thousand_mutated_files_neither_crash_nor_run_anything(blobs, tmp_path, monkeypatch):
    """Every one loads, or is one clear line; nothing is run, and no memory is taken that the file does not fill."""
    ran = []
    monkeypatch.setattr(os, "system", ran.append)
    rng = random.Random(0)
    originals = []
    for number, head in enumerate(
        [
            MLPHead(hidden=8, max_epochs=1),
            AttentionPoolHead(max_epochs=1),
            KNNHead(),
            LinearHead(),
            LinearDiscriminantAnalysis(),
        ]
    ):
        folder = tmp_path / str(number)
        save_head(head.fit(*blobs), folder, {"recipe": "0123"})
        originals.append({file.name: file.read_bytes() for file in folder.iterdir()})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    target = tmp_path / "mutated"
    target.mkdir()
    refused = 0
    for number in range(5000):
        files = dict(rng.choice(originals))
        names = sorted(files)
        for name in sorted({rng.choice(names), rng.choice(names)}):
            inside = name == "head.skops" and rng.random() < 0.7
            files[name] = (mutate_inside if inside else mutate)(files[name], rng)
        for name, content in files.items():
            (target / name).write_bytes(content)
        reason = why_refused(target, blobs[0][:3])
        refused += reason is not None
        assert reason is None or ("holds no usable head: " in reason and "\n" not in reason), number
        for name in files:
            (target / name).unlink()
    assert refused > 2500
    assert not ran
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024


def test_a_head_that_is_not_fitted_is_not_saved(tmp_path):
    with pytest.raises(NotFittedError):
        save_head(LinearHead(), tmp_path / "head")
    assert not (tmp_path / "head").exists()
