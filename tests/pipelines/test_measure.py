import time

import numpy as np
import torch

from pipelines.measure import Cost, measured, resident_bytes


def test_time_and_peak_memory_are_measured():
    before = resident_bytes()
    with measured(torch.device("cpu")) as cost:
        block = np.ones(100_000_000, np.uint8)
        time.sleep(0.1)
        del block
    assert cost.seconds >= 0.1
    assert cost.peak_bytes > before + 50_000_000


def test_costs_add_up():
    cost = Cost(1.0, 10)
    cost.add(Cost(2.0, 5))
    assert (cost.seconds, cost.peak_bytes) == (3.0, 10)
