import shutil

import numpy as np
import pytest
import torch

from extract import LoopOptions, custom_backbone, extract
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
