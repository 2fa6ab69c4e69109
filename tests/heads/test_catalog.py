import pytest
from sklearn.svm import LinearSVC

from heads import LinearHead, head_class, make_head


def test_kinds_and_import_paths_lead_to_classes():
    assert head_class("linear") is LinearHead
    assert head_class("sklearn.svm.LinearSVC") is LinearSVC
    assert make_head("linear", C=3.0).C == 3.0


@pytest.mark.parametrize(
    ("kind", "params", "message"),
    [
        ("liner", {}, "did you mean `linear`"),
        ("sklearn.svm.Nothing", {}, "cannot be imported"),
        ("os.system", {}, "not a scikit-learn classifier"),
        ("sklearn.linear_model.LinearRegression", {}, "not a scikit-learn classifier"),
        ("linear", {"c": 1}, "`c` is not a parameter of linear; parameters are C, "),
        ("mlp", {"hiden": 1}, "did you mean `hidden`"),
    ],
)
def test_what_does_not_exist_is_told_with_the_nearest_name(kind, params, message):
    with pytest.raises(ValueError, match=message):
        make_head(kind, **params)
