import dataclasses

import pytest

from heads import MLPHead
from heads.plan import TrainingPlan

PLAN = {"lr": 1e-3, "weight_decay": 0.0, "batch_size": 8, "max_epochs": 3, "patience": 1}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "adam"}, "did you mean `adamw`"),
        ({"schedule": "poly"}, "it may be constant, cosine"),
        ({"accumulate": 0}, "`accumulate` is 0; it must be at least 1"),
        ({"warmup": 1.0}, "`warmup` is 1.0; it must be at least 0 and below 1"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        TrainingPlan(**PLAN, **changes)


def test_a_head_hands_on_every_setting_under_its_own_name():
    fields = {field.name for field in dataclasses.fields(TrainingPlan)}
    assert fields <= set(MLPHead().get_params())
    assert MLPHead(lr=0.5, every=3, ema=0.9).plan() == dataclasses.replace(MLPHead().plan(), lr=0.5, every=3, ema=0.9)
