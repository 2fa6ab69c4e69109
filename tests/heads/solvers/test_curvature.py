import torch

from heads.solvers.curvature import Coupled, StrongSamples, count_strong, invert_strong


def example(count, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(count, width, generator=generator, dtype=torch.float64)
    values[:, -1] = 1
    return values, torch.rand(2, count, generator=generator, dtype=torch.float64) / count


def dense(values, bend, label):
    penalty = torch.tensor([0.1] * (values.shape[1] - 1) + [0.0], dtype=torch.float64)
    return values.T @ torch.diag(bend[label]) @ values + torch.diag(penalty)


def model(values, bend, count=192):
    inverse, factor = invert_strong(values, values.square().sum(dim=0), bend, 0.1, count)
    return StrongSamples([inverse], [factor], torch.zeros(1, dtype=torch.int64))


def test_a_model_holds_more_samples_where_more_share_it_and_no_more_than_half_of_the_axes():
    assert count_strong(100, 384) < count_strong(5000, 384) <= count_strong(1e9, 384) <= 384 // 2
    assert count_strong(1e9, 10) == 5
    assert count_strong(1e9, 1) == 1


def test_where_all_samples_are_strong_it_is_the_hessian_s_inverse():
    values, bend = example(40, 6)
    gradient = torch.randn(1, 2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = model(values, bend).solve(torch.tensor([0]), gradient)
    for label in range(2):
        torch.testing.assert_close(dense(values, bend, label) @ found[0, label], gradient[0, label], atol=1e-4, rtol=1e-4)


def test_beyond_the_strong_samples_it_is_near_the_hessian_s_inverse():
    values, bend = example(2000, 8)
    bend[:, :100] *= 50
    gradient = torch.randn(1, 2, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = model(values, bend, 100).solve(torch.tensor([0]), gradient)
    for label in range(2):
        exact = torch.linalg.solve(dense(values, bend, label), gradient[0, label])
        assert (found[0, label] - exact).norm() < 0.1 * exact.norm()


def test_it_promises_a_decrease_where_hardly_anything_bends():
    values, bend = example(500, 30)
    inverse, factor = invert_strong(values.float(), values.float().square().sum(dim=0), (bend * 1e-7).float(), 1e-12, 192)
    gradients = torch.randn(20, 2, 30, generator=torch.Generator().manual_seed(1))
    found = StrongSamples([inverse], [factor], torch.zeros(20, dtype=torch.int64)).solve(torch.arange(20), gradients)
    assert ((found * gradients).flatten(1).sum(dim=1) > 0).all()


def test_problems_are_solved_with_the_model_of_their_group():
    models = StrongSamples(
        [torch.full((1, 3), 0.5), torch.full((1, 3), 2.0)],
        [torch.zeros(1, 1, 3), torch.tensor([[[1.0, 0.0, 0.0]]])],
        torch.arange(2),
    ).share(torch.tensor([0, 1, 1]))
    assert models.solve(torch.tensor([2, 0]), torch.ones(2, 1, 3)).tolist() == [[[1, 2, 2]], [[0.5, 0.5, 0.5]]]


def test_about_weights_of_zero_it_is_the_hessian_s_inverse():
    share = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    power = torch.tensor([4.0, 0.5, 1.0], dtype=torch.float64)
    model = Coupled(share[None], share[None], power[None], torch.tensor([0.1], dtype=torch.float64))
    hessian = torch.kron(torch.diag(share) - torch.outer(share, share), torch.diag(power))
    hessian += torch.kron(torch.eye(3), torch.diag(torch.tensor([0.1, 0.1, 0.0])))
    gradient = torch.randn(1, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    gradient -= gradient.mean(dim=1, keepdim=True)
    found = model.solve(torch.tensor([0]), gradient)
    torch.testing.assert_close((hessian @ found.flatten()).view_as(gradient), gradient)
