import pytest
import torch
from torch import nn

from heads import Callback, GradientMonitor, TorchHead


class Probe(nn.Module):
    """Has a frozen layer with its batch norm, a layer that nothing reaches, and one that learns."""

    def __init__(self, input_dim, num_classes):
        super().__init__()
        self.frozen = nn.Linear(input_dim, 16)
        self.frozen.requires_grad_(False)
        self.unused = nn.Linear(3, 3)
        self.blocked = nn.Linear(16, 16)
        self.classifier = nn.Linear(16, num_classes)

    def forward(self, features):
        hidden = self.frozen(features).relu()
        return self.classifier(hidden + 0 * self.blocked(hidden))


def monitored(blobs, module, **monitor):
    head = TorchHead(module=module, callbacks=[GradientMonitor(**monitor)], max_epochs=4, lr=1e-2).fit(*blobs)
    return head.callbacks_[0]


def test_every_parameter_is_named_by_what_became_of_it(blobs):
    monitor = monitored(blobs, Probe)
    assert monitor.named("trained") == ["classifier.weight", "classifier.bias"]
    assert monitor.named("frozen") == ["frozen.weight", "frozen.bias"]
    assert monitor.named("dead") == ["unused.weight", "unused.bias", "blocked.weight", "blocked.bias"]
    changes = {report.name: report.change for report in monitor.reports}
    assert changes["frozen.weight"] == 0
    assert changes["classifier.weight"] > 0


def test_norms_are_those_of_the_gradients_step_by_step(blobs):
    class Compare(Callback):
        def on_train_begin(self, state):
            self.norms = []

        def on_gradients(self, state):
            self.norms.append(float(state.model.classifier.weight.grad.norm()))

    head = TorchHead(module=Probe, callbacks=[GradientMonitor(), Compare()], max_epochs=3).fit(*blobs)
    monitor, compare = head.callbacks_
    assert monitor.norms["classifier.weight"] == pytest.approx(compare.norms)
    report = next(report for report in monitor.reports if report.name == "classifier.weight")
    assert report.largest_norm == pytest.approx(max(compare.norms))


def test_a_gradient_that_leaves_all_bounds_is_exploding(blobs):
    assert monitored(blobs, Probe, explosion=1.01).named("exploding") == ["classifier.weight", "classifier.bias"]


def test_a_frozen_parameter_or_statistic_that_changes_is_an_error(blobs):
    class Leaky(Probe):
        def forward(self, features):
            with torch.no_grad():
                self.frozen.weight += 1e-3
            return super().forward(features)

    class Statistics(Probe):
        def __init__(self, input_dim, num_classes):
            super().__init__(input_dim, num_classes)
            self.norm = nn.BatchNorm1d(input_dim).requires_grad_(False)

        def forward(self, features):
            return super().forward(self.norm(features))

    with pytest.raises(RuntimeError, match=r"frozen, and yet changed by the training: frozen\.weight"):
        monitored(blobs, Leaky)
    with pytest.raises(RuntimeError, match=r"norm\.running_mean"):
        monitored(blobs, Statistics)
