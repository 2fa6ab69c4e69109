import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache import Recipe, StoreError

recipes = st.builds(
    Recipe,
    backbone=st.text(max_size=20),
    revision=st.none() | st.text(max_size=10),
    weights=st.text(max_size=20),
    preprocessing=st.dictionaries(st.text(max_size=5), st.none() | st.integers() | st.text(max_size=5), max_size=3),
    precision=st.sampled_from(["float32", "bfloat16"]),
    dtype=st.sampled_from(["float32", "float16"]),
    extractor=st.integers(0, 5),
)
RECIPE = Recipe("st:x", None, "w", {"a": 1})


@given(recipes)
def test_a_recipe_survives_its_json(recipe):
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert Recipe.from_json(recipe.to_json()).id == recipe.id


@given(recipes, recipes)
def test_recipes_share_an_id_only_if_every_field_is_equal(one, other):
    assert (one.id == other.id) == (one == other)


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Recipe)])
def test_every_field_changes_the_id(field):
    other = {"dtype": "float16", "preprocessing": {"a": 2}, "extractor": 2}.get(field, "something else")
    assert dataclasses.replace(RECIPE, **{field: other}).id != RECIPE.id


def test_the_id_is_part_of_the_format_and_never_changes():
    assert RECIPE.id == "5681db97b98d1029ab0a9daceee2f117"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"backbone": 1}', "null", RECIPE.to_json()[:-1] + ',"more":1}'])
def test_what_is_no_recipe_is_refused(text):
    with pytest.raises(StoreError, match="not a recipe"):
        Recipe.from_json(text)


def test_an_unknown_dtype_is_refused():
    with pytest.raises(StoreError, match="float64"):
        dataclasses.replace(RECIPE, dtype="float64")
