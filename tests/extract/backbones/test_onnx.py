"""ONNX files, exported by torch from tiny models, against the models themselves."""

import builtins
import json
import os
import shutil
import sys

import numpy as np
import pytest
import torch

from extract import BackboneError, BackboneSpec, extract, find_backbone
from extract.backbones.find_onnx import read_graph
from pipelines.config_file import load_config
from tests.conftest import save_encoder, sentences
from tests.extract.backbones.checkpoints import assert_batch_equals_single, load, save_hf_images, save_processor
from tests.images import picture

pytest.importorskip("onnxruntime")
POOLINGS = ["cls", "mean", "max", "last", "mean+max", "gem", "tokens"]


class Texts(torch.nn.Module):
    """An encoder that also gives a mean of its own, as sentence-transformers exports it."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask):
        states = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(states.dtype)
        return states, (states * mask).sum(1) / mask.sum(1)


class Images(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixel_values):
        result = self.model(pixel_values=pixel_values)
        return result.last_hidden_state, result.pooler_output


def export(module, inputs, names, outputs, file, free=(0, 1), **settings):
    file.parent.mkdir(parents=True, exist_ok=True)
    axes = {0: torch.export.Dim("n")} | ({1: torch.export.Dim("t", max=64)} if len(free) > 1 else {})
    torch.onnx.export(
        module.eval(),
        inputs,
        str(file),
        input_names=names,
        output_names=outputs,
        dynamic_shapes=[axes] * len(names) if free else None,
        dynamo=True,
        verbose=False,
        external_data=settings.get("external_data", False),
    )
    return file


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """A folder `model.safetensors, tokenizer.json, ..., onnx/model.onnx`."""
    from transformers import AutoModel

    folder = save_encoder(tmp_path_factory.mktemp("onnx") / "encoder")
    ids = torch.randint(4, 20, (2, 7))
    outputs = ["last_hidden_state", "sentence_embedding"]
    model = Texts(AutoModel.from_pretrained(folder, attn_implementation="eager"))
    export(model, (ids, torch.ones_like(ids)), ["input_ids", "attention_mask"], outputs, folder / "onnx/model.onnx")
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder with a vision encoder, its image processor and `model.onnx`."""
    from transformers import AutoModel

    folder = save_hf_images(tmp_path_factory.mktemp("onnx") / "vit")
    model = Images(AutoModel.from_pretrained(folder, attn_implementation="eager"))
    names = ["last_hidden_state", "pooler_output"]
    export(model, (torch.rand(2, 3, 32, 32),), ["pixel_values"], names, folder / "model.onnx", free=(0,))
    return folder


def test_texts_have_torchs_vectors_in_every_pooling(texts, tmp_path):
    samples, store = sentences(30), str(tmp_path / "store")
    found = extract(samples, f"onnx:{texts}", store, {"pooling": POOLINGS})
    expected = extract(samples, f"hf:{texts}", store, {"layer": 3, "pooling": POOLINGS})
    for pooling in POOLINGS:
        ours, theirs = found.array(f"layer1.{pooling}"), expected.array(f"layer3.{pooling}")
        np.testing.assert_allclose(getattr(ours, "values", ours), getattr(theirs, "values", theirs), atol=1e-5)
    pooled = extract(samples, f"onnx:{texts / 'onnx/model.onnx'}", store)
    assert pooled.outputs == ("pooled",)
    assert pooled.recipe == found.recipe
    np.testing.assert_allclose(pooled.array(), expected.array("layer3.mean"), atol=1e-5)


def test_text_settings_go_with_it_as_with_any_other(texts, tmp_path):
    samples, store = sentences(12), str(tmp_path / "store")
    for settings in ({"max_length": 8}, {"prompt": "the film "}, {"max_length": 12, "window_overlap": 4}):
        found = extract(samples, BackboneSpec(f"onnx:{texts}", **settings), store, "mean")
        expected = extract(samples, BackboneSpec(f"hf:{texts}", **settings), store, "mean")
        np.testing.assert_allclose(found.array(), expected.array(), atol=1e-5)
    with pytest.raises(BackboneError, match="`pooled` comes out of the graph for a window, not for a text"):
        extract(samples, BackboneSpec(f"onnx:{texts}", max_length=12, window_overlap=4), store, "pooled")


def test_images_have_torchs_vectors(images, tmp_path):
    samples, store = [picture(seed, (40, 36)) for seed in range(5)], str(tmp_path / "store")
    found = extract(samples, f"onnx:{images}", store, ["pooled", "cls"])
    expected = extract(samples, f"hf:{images}", store, ["pooled", "cls"])
    np.testing.assert_allclose(found.array("pooled"), expected.array("pooled"), atol=1e-5)
    np.testing.assert_allclose(found.array("layer1.cls"), expected.array("layer3.cls"), atol=1e-5)


def test_a_batch_equals_single_samples(texts, images):
    from extract.outputs import Output

    backbone, _ = load(f"onnx:{texts}", "text")
    outputs = [Output(None, "pooled"), Output(1, "mean"), Output(1, "tokens")]
    assert_batch_equals_single(backbone, ["good", "a very dull film", "we loved it and the music"], outputs)
    backbone, _ = load(f"onnx:{images}")
    assert_batch_equals_single(backbone, [picture(1), picture(2)], outputs)


def test_without_an_image_processor_the_settings_say_what_it_was_trained_with(images, tmp_path):
    alone = tmp_path / "alone/model.onnx"
    alone.parent.mkdir()
    shutil.copy(images / "model.onnx", alone)
    with pytest.raises(BackboneError, match="no preprocessor_config.json beside it; say `mean`, `std` and `image_size`"):
        load(f"onnx:{alone}")
    settings = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3], "interpolation": "bilinear"}
    samples, store = [picture(seed, (40, 36)) for seed in range(3)], str(tmp_path / "store")
    found = extract(samples, BackboneSpec(f"onnx:{alone}", **settings), store)
    np.testing.assert_allclose(found.array(), extract(samples, f"hf:{images}", store).array(), atol=1e-5)
    with pytest.raises(BackboneError, match=r"it takes images \[3, 32, 32\], and its preprocessing makes \[3, 48, 48\]"):
        load(f"onnx:{alone}", image_size=48, **settings)


def test_a_map_and_a_graph_of_one_image_at_a_time(tmp_path):
    net = torch.nn.Conv2d(3, 5, 3, stride=2)
    file = export(net, (torch.rand(1, 3, 16, 16),), ["x"], ["features"], tmp_path / "net.onnx", free=())
    save_processor(tmp_path, 16)
    samples = [picture(seed, (20, 20)) for seed in range(3)]
    found = extract(samples, str(file), str(tmp_path / "store"), ["mean", "max"])
    backbone, offer = load(f"onnx:{file}")
    assert (offer.default, offer.layers, "cls" in offer.poolings) == ("mean", 1, False)
    with torch.inference_mode():
        maps = net(torch.stack([backbone.decode(sample) for sample in samples]))
    np.testing.assert_allclose(found.array("layer1.mean"), maps.mean((2, 3)), atol=1e-5)
    np.testing.assert_allclose(found.array("layer1.max"), maps.amax((2, 3)), atol=1e-5)


def test_another_file_another_tokenizer_or_other_external_weights_are_another_recipe(texts, tmp_path):
    from transformers import AutoModel

    def identity(folder):
        found = find_backbone(f"onnx:{folder}")
        return found.weights, found.settings

    copy = shutil.copytree(texts, tmp_path / "encoder")
    before = identity(copy)
    assert before == identity(texts)
    (copy / "tokenizer_config.json").write_text((copy / "tokenizer_config.json").read_text() + "\n")
    assert (identity(copy)[0], identity(copy)[1] == before[1]) == (before[0], False)
    ids = torch.randint(4, 20, (2, 7))
    model = Texts(AutoModel.from_pretrained(copy, attn_implementation="eager"))
    names = ["input_ids", "attention_mask"]
    file = export(model, (ids, torch.ones_like(ids)), names, ["a", "b"], copy / "onnx/model.onnx", external_data=True)
    (external,) = read_graph(file, "here").external
    split = identity(copy)
    assert split[0] != before[0]
    weights = bytearray((file.parent / external).read_bytes())
    weights[-1] ^= 1
    (file.parent / external).write_bytes(weights)
    assert identity(copy)[0] != split[0]
    (file.parent / external).unlink()
    with pytest.raises(BackboneError, match=rf"its weights are in {external}, which is not beside it"):
        identity(copy)


def test_what_is_no_backbone_is_told_in_a_line(texts, tmp_path):
    (tmp_path / "text.onnx").write_text("no graph")
    (tmp_path / "empty").mkdir()
    linear = export(torch.nn.Linear(3, 2), (torch.rand(1, 3),), ["x"], ["y"], tmp_path / "linear.onnx", free=())
    for name, told in (
        (tmp_path / "text.onnx", "is no ONNX file"),
        (tmp_path / "empty", "this folder has no model.onnx or onnx/model.onnx"),
        (tmp_path / "nowhere.onnx", "there is no such file or folder"),
        (linear, r"takes x; expected `input_ids`, or one batch of images"),
    ):
        with pytest.raises(BackboneError, match=told):
            find_backbone(f"onnx:{name}")
    with pytest.raises(BackboneError, match="computes as it was written; leave out `precision`"):
        extract(["good"], BackboneSpec(f"onnx:{texts}", precision="bfloat16"), str(tmp_path / "store"))
    alone = shutil.copy(texts / "onnx/model.onnx", tmp_path / "empty/model.onnx")
    with pytest.raises(BackboneError, match=r"no tokenizer beside model.onnx; put its files there, or name one as `tokenizer`"):
        extract(["good"], f"onnx:{alone}", str(tmp_path / "store"))
    found = extract(["good"], BackboneSpec(f"onnx:{alone}", tokenizer=str(texts)), str(tmp_path / "store"))
    np.testing.assert_allclose(found.array(), extract(["good"], f"hf:{texts}", str(tmp_path / "store")).array(), atol=1e-5)


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime"])
def test_a_missing_library_is_told_in_a_line(texts, tmp_path, monkeypatch, missing):
    real = builtins.__import__

    def without(name, *rest):
        if name.partition(".")[0] == missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=missing)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.delitem(sys.modules, missing, raising=False)
    with pytest.raises(BackboneError, match=rf"{missing} is not installed; `pip install headstart\[onnx\]`"):
        extract(["good"], f"onnx:{texts}", str(tmp_path / "store"))


def test_a_config_names_a_file_relative_to_itself(texts, tmp_path):
    folder = tmp_path / "models"
    shutil.copytree(texts, folder)
    content = {
        "data": {"path": "d.csv"},
        "backbones": ["onnx:models", "onnx:models/onnx/model.onnx"],
        "heads": [{"kind": "knn"}],
    }
    (tmp_path / "c.json").write_text(json.dumps(content))
    names = [backbone.name for backbone in load_config(tmp_path / "c.json").backbones]
    assert names == [f"onnx:{folder}", f"onnx:{folder}/onnx/model.onnx"]


def test_links_into_a_hub_s_cache_are_followed_for_what_is_in_the_files_and_not_for_what_is_beside_them(texts, tmp_path):
    from transformers import AutoModel

    plain, blobs, snapshot = (tmp_path / name for name in ("plain", "blobs", "snapshots/abc"))
    shutil.copytree(texts, plain)
    ids = torch.randint(4, 20, (2, 7))
    model = Texts(AutoModel.from_pretrained(plain, attn_implementation="eager"))
    names, outputs = ["input_ids", "attention_mask"], ["last_hidden_state", "sentence_embedding"]
    export(model, (ids, torch.ones_like(ids)), names, outputs, plain / "onnx/model.onnx", external_data=True)
    blobs.mkdir()
    for number, file in enumerate(sorted(path for path in plain.rglob("*") if path.is_file())):
        shutil.copy(file, blobs / str(number))
        link = snapshot / file.relative_to(plain)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blobs / str(number), link.parent))
    linked, own = find_backbone(f"onnx:{snapshot}"), find_backbone(f"onnx:{plain}")
    assert (linked.weights, linked.settings) == (own.weights, own.settings)
    found = extract(["good"], f"onnx:{snapshot}", str(tmp_path / "store"))
    np.testing.assert_allclose(found.array(), extract(["good"], f"onnx:{plain}", str(tmp_path / "other")).array())
    (external,) = read_graph(snapshot / "onnx/model.onnx", "here").external
    (snapshot / "onnx" / external).unlink()
    (snapshot / "onnx" / external).symlink_to(shutil.copy(plain / "onnx" / external, tmp_path / "elsewhere"))
    with pytest.raises(BackboneError, match="which is not beside it"):
        find_backbone(f"onnx:{snapshot}")
