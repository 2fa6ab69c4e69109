import numpy as np
import pytest
import torch

from extract import LoopOptions, extract
from extract.backbones.base import Prepared
from extract.devices import TOKEN_BUDGETS
from extract.outputs import Output
from extract.tuning import tuned_budget
from tests.conftest import sentences
from tests.extract.test_loop import Stub

OUTPUTS = [Output(1, "mean")]
DEFAULT = TOKEN_BUDGETS["cpu"]


class Paced(Stub):
    """Computes at a rate that depends on the size of the batch, by its own clock."""

    def __init__(self, best, memory=10**9, pause=0.0):
        super().__init__(memory)
        self.pause = pause
        self.best, self.now, self.runs = best, 0.0, 0

    def prepare(self, samples):
        return Prepared(samples, samples)

    def forward(self, batch, outputs):
        self.runs += 1
        cost = int(batch["numbers"].sum())
        self.now += self.pause + cost / 100_000 * (1 + abs(np.log2(cost / self.best)))
        return super().forward(batch, outputs)


def tune(backbone, identity="backbone"):
    return tuned_budget(backbone, [16] * 10, OUTPUTS, "cpu", identity, clock=lambda: backbone.now)


@pytest.mark.parametrize("factor", [0.25, 0.5, 1, 2])
def test_the_fastest_batch_is_found(factor):
    assert tune(Paced(DEFAULT * factor)) == DEFAULT * factor


def test_what_was_found_is_remembered_for_this_backbone(private_memo):
    tune(Paced(DEFAULT))
    again, other = Paced(DEFAULT), Paced(DEFAULT)
    assert tune(again) == DEFAULT
    assert again.runs == 0
    tune(other, "another")
    assert other.runs > 0


def test_the_search_ends_where_memory_does_and_after_some_time():
    assert tune(Paced(DEFAULT * 4, memory=DEFAULT)) == DEFAULT
    slow = Paced(DEFAULT * 4, pause=100.0)
    assert tune(slow, "slow") == DEFAULT / 4
    assert slow.runs == 2


def test_an_extraction_with_a_measured_budget_gives_the_same_features(tiny_bert, tmp_path):
    texts = sentences(20)
    plain = extract(texts, f"hf:{tiny_bert}", str(tmp_path / "plain"))
    tuned = extract(texts, f"hf:{tiny_bert}", str(tmp_path / "tuned"), options=LoopOptions(budget="auto"))
    torch.testing.assert_close(torch.tensor(tuned.array()), torch.tensor(plain.array()), atol=1e-5, rtol=0)
