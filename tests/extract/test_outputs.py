import pytest

from extract import BackboneError
from extract.outputs import POOLINGS, Offer, parse_outputs

SENTENCE_MODEL = Offer(3, "pooled", ("pooled",))
ENCODER = Offer(3)
DECODER = Offer(3, "last")


def names(asked, offer=SENTENCE_MODEL, dtype="float32"):
    return [output.name for output in parse_outputs(asked, offer, dtype)]


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
    assert names(None) == ["pooled"]
    assert names(None, ENCODER) == ["layer3.mean"]


def test_what_reads_from_left_to_right_is_pooled_at_its_last_token_where_nothing_else_is_said():
    assert names(None, DECODER) == names({"layer": "last"}, DECODER) == ["layer3.last"]
    assert names({"layer": 3}) == ["layer3.mean"]


def test_every_pooling_has_a_name_that_reads_back():
    for pooling in POOLINGS:
        for dtype in ("float32", "float16"):
            (name,) = names({"layer": 2, "pooling": pooling, "dtype": "float16"}, ENCODER, dtype)
            assert name == f"layer2.{pooling}" + (".float16" if dtype == "float32" else "")
            assert names(name, ENCODER, dtype) == [name]
    assert names("pooled.float16") == ["pooled.float16"]


def test_a_type_that_is_the_recipe_s_own_is_not_said_twice():
    assert names([{"dtype": "float16"}, "mean"], ENCODER, "float16") == ["layer3.mean"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"layer": 4}, "there is no layer 4; layers are 0 .* to 3"),
        ({"layer": True}, "no layer True"),
        ({"pooling": "median"}, "'median' is not a pooling; poolings are cls, mean, .*, tokens, pooled"),
        ({"dtype": "int8"}, "'int8' is not a dtype; dtypes are float32, float16"),
        ({"depth": 3}, "is not {layer"),
        ([], "no output is asked for"),
    ],
)
def test_outputs_that_do_not_exist_are_refused_in_one_line(asked, message):
    with pytest.raises(BackboneError, match=message):
        names(asked)


def test_a_backbone_without_a_feature_of_its_own_says_so():
    with pytest.raises(BackboneError, match="no pooled feature of its own"):
        names("pooled", ENCODER)
