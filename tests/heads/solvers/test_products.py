import pytest
import torch

from heads.solvers import products
from heads.solvers.products import product


@pytest.mark.parametrize("onednn", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_the_product_however_the_factors_lie_in_memory(monkeypatch, onednn, dtype):
    monkeypatch.setattr(products, "ONEDNN", onednn and products.ONEDNN)
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(5, 40, generator=generator, dtype=dtype), torch.randn(40, 7, generator=generator, dtype=dtype)
    torch.testing.assert_close(product(a, b), a @ b)
    torch.testing.assert_close(product(a[:, 3:9], b[20:26]), a[:, 3:9] @ b[20:26])
    torch.testing.assert_close(product(a.T.contiguous().T, b.T.contiguous().T), a @ b)
    assert product(a[:0], b).shape == (0, 7)
