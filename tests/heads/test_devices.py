import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from heads import LinearHead, MLPHead, SweepCV, devices, make_head
from heads.devices import run_on, solving_device, training_device
from heads.solvers import linear, warm_start


@pytest.fixture
def with_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(devices, "is_usable", lambda device: True)


def test_auto_is_the_gpu_where_there_is_one_and_the_work_is_worth_it(with_a_gpu):
    assert training_device("auto").type == "cuda"
    assert solving_device("auto", devices.WORTH_A_GPU).type == "cuda"
    assert solving_device("auto", devices.WORTH_A_GPU / 2).type == "cpu"
    assert solving_device("cuda:1", 1.0) == training_device("cuda:1") == torch.device("cuda:1")
    assert training_device("cpu").type == "cpu"


def test_without_a_gpu_auto_is_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert training_device("auto").type == solving_device("auto", 1e30).type == "cpu"


def test_linear_problems_are_solved_where_there_is_float64(with_a_gpu):
    assert solving_device("mps", 1e30).type == "cpu"


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory (simulated)"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)` (simulated)"),
    ],
)
def test_what_a_gpu_cannot_hold_is_done_on_the_cpu(error):
    tried = []

    def work(device):
        tried.append(device.type)
        if device.type != "cpu":
            raise error
        return "done"

    assert run_on(torch.device("meta"), work) == "done"
    assert tried == ["meta", "cpu"]


def test_any_other_error_is_told():
    def fail(device):
        raise RuntimeError("the sizes do not fit")

    with pytest.raises(RuntimeError, match="sizes"):
        run_on(torch.device("meta"), fail)


def test_the_linear_sweep_asks_for_the_device_by_what_all_its_problems_cost(blobs, monkeypatch):
    X, y = blobs
    asked = []
    monkeypatch.setattr(linear, "solving_device", lambda device, work: asked.append((device, work)) or torch.device("cpu"))
    for standardize in (False, True):
        SweepCV(LinearHead(device="auto", standardize=standardize), {"C": [0.1, 1, 10]}, cv=4, refit=False).fit(X, y)
    assert asked == [("auto", X.size * 3 * 3 * 4)] * 2


@pytest.mark.parametrize("place", ["cpu", "a GPU"])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("weight", [None, "balanced"])
def test_a_fit_that_starts_near_the_minimum_ends_at_the_same_minimum(blobs, classes, weight, place, monkeypatch):
    X, y = blobs
    X, y = (X[y != "neu"], y[y != "neu"]) if classes == 2 else (X, y)
    head = LinearHead(C=10.0, class_weight=weight)
    alone = head.fit(X, y).coef_
    starts = []
    monkeypatch.setattr("heads.linear.find_start", lambda *how: starts.append(warm_start.find_start(*how)) or starts[-1])
    if place == "cpu":
        monkeypatch.setattr(warm_start, "WORTH_A_START", 1.0)
    else:
        monkeypatch.setattr(warm_start, "solving_device", lambda device, work: torch.device("cuda"))
        monkeypatch.setattr(warm_start, "run_on", lambda device, work: work(_Near()))
    near = LinearHead(C=10.0, class_weight=weight).fit(X, y)
    [start] = starts
    assert 0 < start.iterations <= near.n_iter_ <= start.iterations + 2
    assert near.coef_.shape == alone.shape
    assert near.coef_.dtype == alone.dtype
    assert np.linalg.norm(near.coef_ - alone) < 2e-3 * np.linalg.norm(alone)


class _Near(str):
    """The CPU, under another name."""

    type = "a GPU"

    def __new__(cls):
        return super().__new__(cls, "cpu")


def test_a_fit_that_is_not_to_be_finished_starts_from_nothing(blobs, monkeypatch):
    monkeypatch.setattr("heads.linear.find_start", lambda *how: pytest.fail("not asked for"))
    with pytest.warns(ConvergenceWarning):
        LinearHead(C=1e4, max_iter=1).fit(*blobs)


def test_a_small_fit_on_a_cpu_starts_from_nothing_and_so_does_one_whose_copies_are_large(blobs, monkeypatch):
    X, y = blobs
    assert warm_start.find_start(X, y, 1.0, None, None, "cpu") is None
    monkeypatch.setattr(warm_start, "WORTH_A_START", 1.0)
    assert warm_start.find_start(X, y, 1.0, None, None, "cpu") is not None
    for limit, value in (("LARGEST", X.nbytes - 1), ("ROTATION", 1e-3)):
        with monkeypatch.context() as tighter:
            tighter.setattr(warm_start, limit, value)
            assert warm_start.find_start(X, y, 1.0, None, None, "cpu") is None


def test_a_start_leaves_room_for_the_last_iterations(blobs, monkeypatch):
    monkeypatch.setattr(warm_start, "WORTH_A_START", 1.0)
    for most in (20, 22, 1000):
        head = LinearHead(C=1e4, max_iter=most)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            head.fit(*blobs)
        assert 1 <= head.n_iter_ <= most


def test_a_fit_whose_start_fails_starts_from_nothing(blobs, monkeypatch):
    X, y = blobs
    monkeypatch.setattr(warm_start, "WORTH_A_START", 1.0)

    def fail(*what, **how):
        raise torch.linalg.LinAlgError("no axes")

    monkeypatch.setattr(warm_start, "rotate", fail)
    assert warm_start.find_start(X, y, 1.0, None, None, "cpu") is None
    assert LinearHead().fit(X, y).score(X, y) > 0.5


@pytest.mark.parametrize("head", [LinearHead(), MLPHead(max_epochs=1)])
def test_a_device_may_be_torch_s_own(head, blobs):
    clone(head).set_params(device=torch.device("cpu")).fit(*blobs)
    SweepCV(head, {"device": [torch.device("cpu")]}, cv=2).fit(*blobs)


def test_a_trained_head_learns_where_it_is_told_to(blobs):
    assert next(MLPHead(max_epochs=1, device="cpu").fit(*blobs).module_.parameters()).device.type == "cpu"


@pytest.mark.parametrize("head", [LinearHead(), MLPHead(max_epochs=1)])
@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_a_device_that_is_not_here_is_told_in_a_line(head, device, blobs):
    with pytest.raises(ValueError, match=f"`device` is '{device}', which torch cannot use here"):
        clone(head).set_params(device=device).fit(*blobs) if isinstance(head, MLPHead) else devices.solving_device(device, 1.0)
    with pytest.raises(ValueError, match="`device` of .* must be `auto`, or a device that torch can use here"):
        make_head("mlp" if isinstance(head, MLPHead) else "linear", device=device)
    sweep = SweepCV(head, {"device": ["cpu", device]}, cv=2).fit(*blobs)
    assert sweep.best_params_ == {"device": "cpu"}
    assert "torch can" in sweep.cv_results_["error"][1]
