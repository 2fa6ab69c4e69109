import pytest

from extract import BackboneError
from extract.outputs import parse_outputs


def names(asked, layers=3, has_own=True):
    return [output.name for output in parse_outputs(asked, layers, has_own)]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("mean", ["layer3.mean"]),
        ("pooled", ["pooled"]),
        ("layer1.cls", ["layer1.cls"]),
        ({"layer": "all", "pooling": "mean"}, ["layer0.mean", "layer1.mean", "layer2.mean", "layer3.mean"]),
        ({"layer": -1, "pooling": ["cls", "max"]}, ["layer3.cls", "layer3.max"]),
        ([{"layer": [0, 2]}, "pooled", {"layer": 2}], ["layer0.mean", "layer2.mean", "pooled"]),
    ],
)
def test_outputs_are_named_in_full_and_without_repetition(asked, expected):
    assert names(asked) == expected


def test_the_default_is_the_backbone_s_own_feature_or_else_the_last_layer_s_mean():
    assert names(None, has_own=True) == ["pooled"]
    assert names(None, has_own=False) == ["layer3.mean"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"layer": 4}, "there is no layer 4; layers are 0 .* to 3"),
        ({"layer": True}, "no layer True"),
        ({"pooling": "median"}, "'median' is not a pooling; poolings are cls, mean, max, pooled"),
        ({"depth": 3}, "is not {layer"),
        ([], "no output is asked for"),
    ],
)
def test_outputs_that_do_not_exist_are_refused_in_one_line(asked, message):
    with pytest.raises(BackboneError, match=message):
        names(asked)


def test_a_backbone_without_a_feature_of_its_own_says_so():
    with pytest.raises(BackboneError, match="no pooled feature of its own"):
        names("pooled", has_own=False)
