import pytest
import torch

from heads.solvers.losses import BinaryLoss, SoftmaxLoss

CODES = torch.tensor([0, 2, 1, 2, 0])
LABELS = torch.tensor([[0.0, 1, 1, 0, 1], [1.0, 1, 0, 0, 0]])
WEIGHT = torch.tensor([1.0, 2, 0, 1, 3], dtype=torch.float64)


def summed(logits, loss):
    if isinstance(loss, SoftmaxLoss):
        each = torch.nn.functional.cross_entropy(logits, CODES.expand(2, -1), reduction="none")
    else:
        each = torch.nn.functional.binary_cross_entropy_with_logits(logits[:, 0], loss.targets, reduction="none")
    return (each * WEIGHT).sum(dim=1)


@pytest.mark.parametrize("loss", [SoftmaxLoss(CODES, 3), BinaryLoss(LABELS.double())], ids=["softmax", "binary"])
def test_value_and_derivatives_are_autograd_s(loss):
    logits = torch.randn(2, loss.columns, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = loss(logits.clone(), slice(None), WEIGHT, torch.arange(2))
    torch.testing.assert_close(found.value, summed(logits, loss))
    torch.testing.assert_close(found.residual, torch.autograd.functional.jacobian(lambda z: summed(z, loss).sum(), logits))
    hessian = torch.autograd.functional.hessian(lambda z: summed(z, loss).sum(), logits).reshape(logits.numel(), -1)
    curvature = torch.stack([loss.curvature(one) for one in logits]) * WEIGHT
    torch.testing.assert_close(curvature, hessian.diagonal().reshape(logits.shape))


def test_a_sample_that_is_hopelessly_wrong_has_a_finite_and_right_loss():
    logits = torch.tensor([[[500.0], [0.0], [-500.0]]])
    found = SoftmaxLoss(torch.tensor([2]), 3)(logits, slice(None), torch.ones(1), torch.zeros(1, dtype=torch.int64))
    assert found.value.item() == pytest.approx(1000)


@pytest.mark.parametrize("loss", [SoftmaxLoss(CODES, 3), BinaryLoss(LABELS.double())], ids=["softmax", "binary"])
def test_without_features_the_intercepts_alone_are_at_their_minimum(loss):
    weight = WEIGHT + 0.5
    untold = loss.without_features(weight, torch.tensor(1))
    logits = untold.intercepts[None, :, None].expand(2, -1, 5).contiguous()
    found = loss(logits.clone(), slice(None), weight, torch.arange(2))
    total = weight.sum()
    torch.testing.assert_close(found.value[1] / total, untold.value)
    torch.testing.assert_close(found.residual[1].sum(dim=1), torch.zeros(loss.columns, dtype=torch.float64), atol=1e-12, rtol=0)
    bend = (loss.curvature(logits[1]) * weight).sum(dim=1) / total
    torch.testing.assert_close(bend, untold.own - untold.shared.square())


@pytest.mark.parametrize("loss", [SoftmaxLoss(CODES, 3), BinaryLoss(LABELS.double())], ids=["softmax", "binary"])
def test_samples_in_another_order_have_the_same_losses(loss):
    logits = torch.randn(2, loss.columns, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    order = torch.tensor([3, 0, 4, 1, 2])
    found = loss.take(order)(logits[..., order], slice(None), WEIGHT[order], torch.arange(2))
    torch.testing.assert_close(found.value, loss(logits.clone(), slice(None), WEIGHT, torch.arange(2)).value)
