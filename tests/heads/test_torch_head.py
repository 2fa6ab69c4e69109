import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from heads import LinearClassifier, SweepCV, TorchHead, TorchRegressor


class Wide(nn.Module):
    def __init__(self, in_features, out_features, width=8):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(in_features, width), nn.ReLU(), nn.Linear(width, out_features))

    def forward(self, features):
        return self.layers(features)


def test_a_class_gets_its_widths_from_the_data_and_the_rest_from_its_parameters(blobs):
    head = TorchHead(module=Wide, module_params={"width": 32}, lr=1e-2).fit(*blobs)
    assert head.module_.layers[0].weight.shape == (32, 20)
    assert head.module_.layers[2].weight.shape == (3, 32)
    assert head.score(*blobs) > 0.8


def test_an_instance_is_copied_and_trained_from_the_weights_that_it_has(blobs):
    module = LinearClassifier(20, 3)
    before = module.linear.weight.detach().clone()
    head = TorchHead(module=module, lr=1e-6, max_epochs=1).fit(*blobs)
    torch.testing.assert_close(head.module_.linear.weight, before, atol=1e-4, rtol=0)
    assert torch.equal(module.linear.weight, before)
    assert not torch.equal(head.module_.linear.weight, before)


def test_a_function_that_makes_a_module_will_do(blobs):
    head = TorchHead(module=lambda input_dim, num_classes: nn.Linear(input_dim, num_classes), lr=1e-2).fit(*blobs)
    assert head.score(*blobs) > 0.7


def test_it_clones_and_sweeps(blobs):
    sweep = SweepCV(clone(TorchHead(module=Wide, max_epochs=5)), {"lr": [1e-4, 1e-2]}, cv=3).fit(*blobs)
    assert sweep.best_params_ == {"lr": 1e-2}


def test_values_are_predicted_as_well(blobs):
    X, _ = blobs
    assert TorchRegressor(lr=1e-2).fit(X, X[:, 0] * 9 + 3).score(X, X[:, 0] * 9 + 3) > 0.9


def test_tokens_come_with_their_mask(blobs):
    class Mean(nn.Module):
        def __init__(self, input_dim, num_classes):
            super().__init__()
            self.linear = nn.Linear(input_dim, num_classes)

        def forward(self, tokens, mask):
            return self.linear((tokens * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True))

    X, y = blobs
    tokens = [np.repeat(row[None], 1 + number % 4, axis=0) for number, row in enumerate(X)]
    assert TorchHead(module=Mean, takes_tokens=True, lr=1e-2).fit(tokens, y).score(tokens, y) > 0.7


@pytest.mark.parametrize(("module", "message"), [(3, "give a torch module"), (lambda input_dim: 3, "is no torch module")])
def test_what_makes_no_module_is_refused(blobs, module, message):
    with pytest.raises(ValueError, match=message):
        TorchHead(module=module).fit(*blobs)


def test_a_norm_over_more_than_the_samples_takes_one_at_a_time(blobs):
    layers = [nn.Unflatten(1, (1, 20)), nn.Conv1d(1, 3, 5), nn.BatchNorm1d(3), nn.Flatten(), nn.Linear(48, 3)]
    head = TorchHead(module=nn.Sequential(*layers), batch_size=1, max_epochs=2).fit(blobs[0][:90], blobs[1][:90])
    assert head.score(*blobs) > 0.5


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Linear(20, 5), r"gives \[2, 5\] for 2 samples, where \[2, 3\] is needed: one logit a class"),
        (nn.Sequential(nn.Linear(20, 1), nn.Flatten(0)), r"gives \[2\] for 2 samples, where \[2, 3\] is needed"),
        (nn.Linear(12, 3), "cannot take features of width 20: mat1 and mat2 shapes cannot be multiplied"),
    ],
    ids=["classes", "flat", "width"],
)
def test_a_module_of_another_width_is_refused_before_it_learns(blobs, module, message):
    with pytest.raises(ValueError, match=message):
        TorchHead(module=module).fit(*blobs)


def test_a_regressor_s_module_gives_a_number_a_target(blobs):
    with pytest.raises(ValueError, match=r"gives \[2, 3\] for 2 samples, where \[2, 1\] is needed: one number a target"):
        TorchRegressor(module=nn.Linear(20, 3)).fit(blobs[0], blobs[0][:, 0])
