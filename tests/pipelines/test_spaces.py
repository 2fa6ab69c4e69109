import pytest

from pipelines.spaces import Range, read_space


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ([1, "a"], [1, "a"]),
        (0.5, [0.5]),
        ({"log": [1e-2, 1e2, 3]}, [0.01, 1.0, 100.0]),
        ({"linear": [0, 1, 3]}, [0.0, 0.5, 1.0]),
        ({"log": [1e-2, 1e2]}, Range("log", 0.01, 100.0)),
        ({"whole": [1, 9]}, Range("whole", 1, 9)),
        ({"spam": 2.0, "ham": 1.0}, [{"spam": 2.0, "ham": 1.0}]),
        ({"spam": 2.0}, [{"spam": 2.0}]),
    ],
)
def test_values_spreads_and_ranges_are_told_apart(written, read):
    assert read_space(written) == read


@pytest.mark.parametrize("kind", ["log", "linear", "whole"])
def test_a_range_draws_within_its_ends(kind):
    space = Range(kind, 1, 4)
    drawn = space.distribution().rvs(200, random_state=0)
    assert drawn.min() >= 1
    assert drawn.max() <= 4
    assert (set(drawn) == {1, 2, 3, 4}) is (kind == "whole")
    assert space.ends()[0] == 1


@pytest.mark.parametrize(
    ("bounds", "told"),
    [
        ({"log": [0, 1]}, "both ends of `log` must be above 0"),
        ({"log": [0, 1, 3]}, "both ends of `log` must be above 0"),
        ({"log": [1, -1, 3]}, "both ends of `log` must be above 0"),
        ({"linear": [0, float("inf"), 3]}, "both ends of `linear` must be finite"),
    ],
)
def test_ends_that_nothing_can_be_spread_between_are_told(bounds, told):
    with pytest.raises(ValueError, match=told):
        read_space(bounds)


@pytest.mark.parametrize("bounds", [{"linear": [2, 1]}, {"whole": [3, 3]}])
def test_a_range_without_numbers_in_it_is_refused(bounds):
    with pytest.raises(ValueError, match="is no .* range"):
        read_space(bounds)
