import torch

from heads.solvers import curvature
from heads.solvers.curvature import Blocks, Coupled, invert_blocks


def example(count, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(count, width, generator=generator, dtype=torch.float64)
    values[:, -1] = 1
    return values, torch.rand(2, count, generator=generator, dtype=torch.float64) / count


def test_with_no_more_samples_than_the_block_is_wide_it_is_the_hessian_s_inverse():
    values, bend = example(6, 6)
    inverse, diagonal = invert_blocks(values, bend, 0.1)
    for label in range(2):
        hessian = values.T @ torch.diag(bend[label]) @ values + torch.diag(torch.tensor([0.1] * 5 + [0.0], dtype=torch.float64))
        torch.testing.assert_close(inverse[label] @ hessian, torch.eye(6, dtype=torch.float64), atol=1e-6, rtol=0)
    assert diagonal.shape == (2, 0)


def test_beyond_the_block_there_is_a_diagonal(monkeypatch):
    monkeypatch.setattr(curvature, "WIDTH", 3)
    values, bend = example(50, 8)
    inverse, diagonal = invert_blocks(values, bend, 0.1)
    assert inverse.shape == (2, 4, 4)
    assert diagonal.shape == (2, 4)
    assert torch.linalg.eigvalsh(inverse).min() > 0
    assert (diagonal >= 0.1).all()


def test_problems_are_solved_with_the_block_of_their_group():
    inverse = torch.stack([torch.eye(2).expand(1, 2, 2), 3 * torch.eye(2).expand(1, 2, 2)])
    blocks = Blocks(inverse, torch.tensor([[[2.0]], [[4.0]]]), torch.arange(2)).share(torch.tensor([0, 1, 1]))
    gradients = torch.ones(2, 1, 3)
    assert blocks.solve(torch.tensor([2, 0]), gradients).tolist() == [[[0.25, 3, 3]], [[0.5, 1, 1]]]


def test_about_weights_of_zero_it_is_the_hessian_s_inverse():
    share = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    bend, basis = torch.linalg.eigh(torch.diag(share) - torch.outer(share, share))
    power = torch.tensor([4.0, 0.5, 1.0], dtype=torch.float64)
    model = Coupled(basis[None], bend[None], power[None], torch.tensor([0.1], dtype=torch.float64))
    hessian = torch.kron(torch.diag(share) - torch.outer(share, share), torch.diag(power))
    hessian += torch.kron(torch.eye(3), torch.diag(torch.tensor([0.1, 0.1, 0.0])))
    gradient = torch.randn(1, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    gradient -= gradient.mean(dim=1, keepdim=True)
    found = model.solve(torch.tensor([0]), gradient)
    torch.testing.assert_close((hessian @ found.flatten()).view_as(gradient), gradient)
