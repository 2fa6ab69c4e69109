"""No stale hit: every setting that can change a feature is in the recipe."""

import dataclasses
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from extract import BackboneSpec
from extract.backbones.checkpoint import Checkpoint
from extract.backbones.spec import INTERPOLATIONS, RESIZE_MODES, SIDES
from extract.extractor import make_recipe
from extract.outputs import Offer
from extract.views import POLICIES, Views

texts = st.text(min_size=1, max_size=8)
FOLDERS = Path(tempfile.gettempdir()) / "headstart-test-tokenizers"
TOKENIZERS = [str(FOLDERS / name) for name in ("one", "other")]


@pytest.fixture(autouse=True, scope="module")
def tokenizers():
    """Two folders with different tokenizers."""
    for number, folder in enumerate(map(Path, TOKENIZERS)):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tokenizer.json").write_text(json.dumps({"number": number}))


colours = st.none() | st.tuples(*[st.floats(0.1, 1)] * 3)
checkpoints = st.builds(
    Checkpoint,
    scheme=st.sampled_from(["hf", "st", "timm"]),
    name=texts,
    location=st.just("somewhere"),
    revision=st.none() | texts,
    weights=texts,
    settings=texts,
    offer=st.sampled_from([Offer(layers=3, takes=takes) for takes in ("text", "image", "image+text")]),
)
specs = st.fixed_dictionaries(
    {
        "max_length": st.none() | st.integers(2, 600),
        "prompt": st.none() | texts,
        "dtype": st.sampled_from(["float32", "float16"]),
        "window_overlap": st.none() | st.integers(0, 64),
        "trust_remote_code": st.booleans(),
        "image_size": st.none() | st.integers(32, 512),
        "mean": colours,
        "std": colours,
        "interpolation": st.none() | st.sampled_from(INTERPOLATIONS),
        "crop_fraction": st.none() | st.floats(0.1, 1),
        "resize_mode": st.none() | st.sampled_from(RESIZE_MODES),
        "tokenizer": st.none() | st.sampled_from(TOKENIZERS),
        "lowercase": st.booleans(),
        "truncation_side": st.none() | st.sampled_from(SIDES),
        "views": st.none() | st.builds(Views, count=st.just(2), seed=st.just(0), policy=st.sampled_from(sorted(POLICIES))),
    }
)
precisions = st.sampled_from(["float32", "bfloat16", "float16"])
ONLY_FOR = {"max_length": "text", "prompt": "text", "image_size": "image"}


def recipe_of(checkpoint, spec, precision="float32"):
    return make_recipe(checkpoint, BackboneSpec("any", **spec), precision)


def test_every_setting_of_a_backbone_is_looked_at_here():
    settings = {field.name for field in dataclasses.fields(BackboneSpec)} - {"backbone", "precision"}
    assert settings == recipe_settings()


def recipe_settings():
    texts = {"max_length", "prompt", "window_overlap", "tokenizer", "lowercase", "truncation_side"}
    images = {"image_size", "mean", "std", "interpolation", "crop_fraction", "resize_mode", "views"}
    return {"dtype", "trust_remote_code"} | texts | images


@given(checkpoints, specs, specs, st.sampled_from(sorted(recipe_settings())))
def test_one_setting_that_differs_is_another_recipe(checkpoint, spec, other, name):
    assume(spec[name] != other[name])
    assume(ONLY_FOR.get(name, checkpoint.offer.takes) in checkpoint.offer.takes)
    changed = spec | {name: other[name]}
    assert recipe_of(checkpoint, spec).id != recipe_of(checkpoint, changed).id
    assert recipe_of(checkpoint, spec).id == recipe_of(checkpoint, dict(spec)).id


@given(checkpoints, checkpoints, specs, st.sampled_from(["scheme", "name", "revision", "weights", "settings"]))
def test_another_checkpoint_is_another_recipe(one, other, spec, name):
    assume(getattr(one, name) != getattr(other, name))
    changed = dataclasses.replace(one, **{name: getattr(other, name)})
    assert recipe_of(one, spec).id != recipe_of(changed, spec).id


@given(checkpoints, specs, precisions, precisions)
def test_another_precision_is_another_recipe(checkpoint, spec, one, other):
    assume(one != other)
    assert recipe_of(checkpoint, spec, one).id != recipe_of(checkpoint, spec, other).id


def test_where_a_checkpoint_lies_is_no_part_of_the_recipe():
    checkpoint = Checkpoint("hf", "model", "/here", None, "w", "s", Offer(layers=1))
    moved = dataclasses.replace(checkpoint, location="/there")
    assert recipe_of(checkpoint, {}).id == recipe_of(moved, {}).id


def test_which_tower_of_a_checkpoint_is_used_is_in_the_recipe():
    towers = (Offer(layers=1, takes="image"), Offer(layers=1, takes="text"))
    ids = set()
    for offer in towers:
        both = dataclasses.replace(offer, others=tuple(other for other in towers if other != offer))
        ids.add(recipe_of(Checkpoint("hf", "m", "/here", None, "w", "s", both), {}).id)
    assert len(ids) == 2
