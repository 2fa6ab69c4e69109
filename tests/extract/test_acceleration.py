import shutil

import numpy as np
import pytest
import torch

from extract import LoopOptions, acceleration, custom_backbone, extract
from extract.acceleration import arrange


def picture_of(text):
    return torch.outer(torch.arange(12.0), torch.tensor([len(text), 1.0, *range(10)])).expand(3, 12, 12).contiguous()


def convolutions():
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1)]
    return custom_backbone(torch.nn.Sequential(*layers, torch.nn.Flatten()), picture_of)


@pytest.mark.slow
@pytest.mark.parametrize("option", ["channels_last", "compile"])
def test_an_option_changes_no_recipe_and_no_feature_beyond_rounding(tmp_path, option):
    if option == "compile" and shutil.which("g++") is None:
        pytest.skip("torch.compile needs a C++ compiler")
    texts = ["a", "bcd", "efghij" * 3]
    plain = extract(texts, convolutions(), str(tmp_path / "plain"))
    fast = extract(texts, convolutions(), str(tmp_path / "fast"), options=LoopOptions(**{option: True}))
    assert fast.recipe == plain.recipe
    np.testing.assert_allclose(fast.array(), plain.array(), rtol=1e-4, atol=1e-5)


def test_channels_last_lays_out_images_and_nothing_else():
    batch = arrange({"pixels": torch.zeros(2, 3, 4, 4), "ids": torch.zeros(2, 5)}, LoopOptions(channels_last=True))
    assert batch["pixels"].is_contiguous(memory_format=torch.channels_last)
    assert batch["ids"].is_contiguous()


def test_on_a_cpu_products_with_weights_are_the_same_but_for_rounding_and_go_through_onednn(monkeypatch):
    torch.manual_seed(0)
    layer, empty = torch.nn.Linear(40, 30), torch.nn.Linear(40, 30, bias=False)
    inputs = [torch.randn(7, 40), torch.randn(2, 5, 40), torch.randn(40, 9).T, torch.randn(40), torch.zeros(0, 40)]
    calls = []
    real = acceleration._linear
    monkeypatch.setattr(acceleration, "_linear", lambda *args, **more: calls.append(1) or real(*args, **more))
    with torch.inference_mode():
        plain = [module(x) for module in (layer, empty) for x in inputs]
        with acceleration.arithmetic("cpu", LoopOptions()):
            fast = [module(x) for module in (layer, empty) for x in inputs]
    assert len(calls) == (len(plain) if acceleration.ONEDNN else 0)
    for one, other in zip(plain, fast, strict=True):
        assert one.shape == other.shape
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_gradients_other_types_and_autocast_are_left_to_torch(monkeypatch):
    monkeypatch.setattr(acceleration, "_linear", lambda *_: pytest.fail("not torch's own"))
    layer, half = torch.nn.Linear(8, 4), torch.nn.Linear(8, 4).to(torch.bfloat16)
    with acceleration.arithmetic("cpu", LoopOptions()):
        layer(torch.randn(3, 8)).sum().backward()
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            assert layer(torch.randn(3, 8)).dtype == torch.bfloat16
    monkeypatch.undo()
    with acceleration.arithmetic("cpu", LoopOptions()), torch.inference_mode():
        assert half(torch.randn(3, 8, dtype=torch.bfloat16)).dtype == torch.bfloat16
    assert layer.weight.grad is not None


def test_on_a_gpu_convolutions_are_kept_from_tf32_while_a_batch_is_computed():
    before = torch.backends.cudnn.allow_tf32
    with acceleration.arithmetic("cuda:0", LoopOptions()):
        assert torch.backends.cudnn.conv.fp32_precision == "ieee"
    assert torch.backends.cudnn.allow_tf32 == before


def test_it_does_not_matter_how_somebody_else_has_set_tf32():
    conv = torch.backends.cudnn.conv
    before, conv.fp32_precision = conv.fp32_precision, "ieee"
    try:
        with acceleration.arithmetic("cuda:0", LoopOptions()):
            pass
        assert conv.fp32_precision == "ieee"
    finally:
        conv.fp32_precision = before
