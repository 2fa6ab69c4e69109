import pytest

from pipelines.compare.methods import training_length
from pipelines.compare_config import CompareChoice


@pytest.mark.parametrize(
    ("named", "samples", "expected"),
    [
        ({}, 32 * 100, (10, 3)),  # as usual
        ({}, 32 * 5, (40, 12)),  # 200 steps
        ({"min_steps": 64}, 48, (32, 10)),
        ({"epochs": 16, "min_steps": 64}, 48, (16, 10)),  # named epochs are kept, and patience still grows
        ({"epochs": 4}, 32 * 100, (4, 3)),
        ({"patience": 5}, 32 * 10, (20, 10)),
    ],
)
def test_on_few_samples_training_is_longer_and_more_patient(named, samples, expected):
    assert training_length(CompareChoice(**named), samples) == expected
