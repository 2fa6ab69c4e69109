import math

import pytest
import torch

from heads.schedules import SCHEDULES, make_optimizer, make_schedule


def rates(name, steps=100, warmup=0.0, factor=0.1, every=10, values=None):
    """Return the learning rate at every step of a schedule."""
    optimizer = make_optimizer("sgd", [torch.nn.Parameter(torch.zeros(1))], 2.0, 0.0, 0.9)
    schedule = make_schedule(name, optimizer, steps, warmup, factor, every)
    found = []
    for step in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step(values[step]) if name == "plateau" else schedule.step()
    return found


def test_constant_stays_and_linear_and_cosine_fall_to_zero():
    assert rates("constant") == [2.0] * 100
    assert rates("linear") == pytest.approx([2 * (1 - step / 100) for step in range(100)])
    assert rates("cosine") == pytest.approx([1 + math.cos(math.pi * step / 100) for step in range(100)])


@pytest.mark.parametrize("name", ["constant", "linear", "cosine"])
def test_a_warm_up_rises_evenly_and_then_the_schedule_begins(name):
    found = rates(name, warmup=0.2)
    assert found[:20] == pytest.approx([2 * (1 + step) / 21 for step in range(20)], rel=0.1)
    assert found[20] == pytest.approx(2.0)
    assert found[20:] == pytest.approx(rates(name, steps=80))


def test_one_cycle_rises_to_the_highest_rate_and_falls_far_below_where_it_began():
    found = rates("one_cycle")
    assert max(found) == pytest.approx(2.0, rel=1e-2)
    assert found.index(max(found)) == pytest.approx(30, abs=2)
    assert found[-1] < found[0] / 50


def test_step_falls_every_so_many_epochs_and_plateau_when_nothing_gets_better():
    assert rates("step", steps=30) == pytest.approx([2.0] * 10 + [0.2] * 10 + [0.02] * 10)
    found = rates("plateau", steps=30, every=4, values=[1.0 - step for step in range(10)] + [0.0] * 20)
    assert found[:14] == [2.0] * 14
    assert found[-1] < 0.021


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_lasts_as_long_as_the_training(name):
    assert all(rate > -1e-12 for rate in rates(name, steps=7, warmup=0.3, values=[1.0] * 7))
