import pytest

from pipelines.combinations import combine, shorten

OUTPUTS = ("pooled", "layer0.mean", "layer1.mean", "layer1.cls")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("each", [(name,) for name in OUTPUTS]),
        ("first", [("pooled",)]),
        ("all", [OUTPUTS]),
        ("layer1.cls", [("layer1.cls",)]),
        ("*.mean", [("layer0.mean", "layer1.mean")]),
        (["first", "all", "pooled"], [("pooled",), OUTPUTS]),
        ([["layer1.cls", "pooled"], "layer1.*"], [("layer1.cls", "pooled"), ("layer1.mean", "layer1.cls")]),
        ([["pooled", "*"]], [OUTPUTS]),
    ],
)
def test_outputs_are_taken_alone_or_side_by_side(asked, expected):
    assert combine(asked, OUTPUTS) == expected


def test_a_name_that_fits_nothing_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"no output is called `layer1.men`; did you mean `layer1.mean`\?"):
        combine(["layer1.men"], OUTPUTS)
    with pytest.raises(ValueError, match="outputs are pooled, layer0.mean"):
        combine([["zzz"]], OUTPUTS)


def test_many_names_are_put_in_short():
    assert shorten(OUTPUTS[:2]) == "pooled+layer0.mean"
    assert shorten(OUTPUTS) == "pooled and 3 more"


def test_tokens_are_not_put_beside_other_outputs_unasked():
    assert combine("all", ("layer1.mean", "layer1.tokens.float16", "layer2.mean")) == [("layer1.mean", "layer2.mean")]
