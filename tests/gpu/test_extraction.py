"""A GPU's features are a CPU's, in the data set's order, whatever the batches and whatever the memory."""

import numpy as np
import pytest
import torch

from extract import BackboneSpec, LoopOptions, extract, load_samples
from extract.batching import Budget
from tests.conftest import save_encoder, sentences
from tests.extract.backbones.checkpoints import save_clip, save_hf_images, save_open_clip, save_timm
from tests.extract.backbones.test_sentence import save_sentence_model
from tests.images import write_image_folder


def features(samples, uri, store, device, outputs=None, **settings):
    options = settings.pop("options", None)
    spec = BackboneSpec(uri, **{"precision": "float32", **settings})
    return extract(samples, spec, str(store), outputs, device=device, options=options)


def both(samples, uri, tmp_path, outputs=None, **settings):
    settings_of_gpu = {name: settings.pop(name) for name in ("options",) if name in settings}
    by_cpu = features(samples, uri, tmp_path / "cpu", "cpu", outputs, **settings)
    by_gpu = features(samples, uri, tmp_path / "gpu", "cuda", outputs, **settings, **settings_of_gpu)
    assert by_cpu.outputs == by_gpu.outputs
    assert not by_gpu.skipped
    return by_cpu, by_gpu


def assert_close(by_cpu, by_gpu, most=1e-4):
    for name in by_cpu.outputs:
        ours, theirs = (found.array(name) for found in (by_gpu, by_cpu))
        if hasattr(ours, "values"):
            assert np.array_equal(ours.offsets, theirs.offsets)
            ours, theirs = ours.values, theirs.values
        np.testing.assert_allclose(ours, theirs, atol=most * max(1.0, float(np.abs(theirs).max())))


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "electra", "mpnet", "modernbert", "t5", "gpt2", "qwen3"])
def test_texts_of_every_family_come_out_as_on_a_cpu(family, tmp_path):
    save_encoder(tmp_path / family, family)
    outputs = {"layer": "all", "pooling": ["mean", "max", "tokens"]}
    assert_close(*both(sentences(300), f"hf:{tmp_path / family}", tmp_path, outputs))


def test_sentence_models_come_out_as_on_a_cpu(tmp_path):
    save_sentence_model(tmp_path / "model", tmp_path)
    assert_close(*both(sentences(300), f"st:{tmp_path / 'model'}", tmp_path))


@pytest.mark.parametrize(
    ("scheme", "save"),
    [
        ("timm", lambda folder: save_timm(folder, "resnet")),
        ("timm", lambda folder: save_timm(folder, "efficientnet")),
        ("hf", lambda folder: save_hf_images(folder, "vit")),
        ("hf", lambda folder: save_clip(folder, "clip")),
        ("open_clip", save_open_clip),
    ],
    ids=["resnet", "efficientnet", "vit", "clip", "open_clip"],
)
@pytest.mark.parametrize("workers", [0, 3])
def test_images_come_out_as_on_a_cpu(scheme, save, workers, tmp_path):
    save(tmp_path / "model")
    images = load_samples(write_image_folder(tmp_path / "images", count=60))
    outputs = {"layer": "all", "pooling": "mean"} if scheme == "timm" else None
    assert_close(*both(images, f"{scheme}:{tmp_path / 'model'}", tmp_path, outputs, options=LoopOptions(workers=workers)))


def test_many_small_batches_on_their_way_at_once_keep_their_rows(tiny_bert, tmp_path):
    texts = sentences(6000)
    assert_close(*both(texts, f"hf:{tiny_bert}", tmp_path, options=LoopOptions(budget=300)))


@pytest.mark.parametrize("options", [LoopOptions(compile=True), LoopOptions(budget="auto")], ids=["compiled", "measured"])
def test_ways_to_run_texts_faster_change_rounding_alone(options, tiny_bert, tmp_path):
    assert_close(*both(sentences(400), f"hf:{tiny_bert}", tmp_path, options=options))


def test_channels_last_changes_rounding_alone(tmp_path):
    save_timm(tmp_path / "timm", "efficientnet")
    images = load_samples(write_image_folder(tmp_path / "images", count=30))
    assert_close(*both(images, f"timm:{tmp_path / 'timm'}", tmp_path, options=LoopOptions(channels_last=True)))


def test_by_default_a_gpu_computes_in_bfloat16_under_a_recipe_of_its_own(tiny_bert, tmp_path):
    texts = sentences(300)
    plain = features(texts, f"hf:{tiny_bert}", tmp_path / "store", "cuda")
    short = features(texts, f"hf:{tiny_bert}", tmp_path / "store", "auto", precision="auto")
    assert short.recipe.id != plain.recipe.id
    assert short.recipe.precision == "bfloat16"
    ours, exact = (found.array().astype(float) for found in (short, plain))
    cosine = (ours * exact).sum(axis=1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(exact, axis=1)
    assert cosine.min() > 0.999
    assert not np.array_equal(ours, exact)


def test_when_memory_runs_out_batches_get_smaller_and_no_row_is_lost(tmp_path, little_memory, monkeypatch):
    from transformers import BertConfig, BertModel

    from tests.conftest import save_tokenizer

    vocabulary = save_tokenizer(tmp_path / "model")
    torch.manual_seed(0)
    sizes = {"hidden_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 2048}
    BertModel(BertConfig(vocab_size=len(vocabulary), pad_token_id=1, **sizes)).save_pretrained(tmp_path / "model")
    texts = sentences(4000)
    by_cpu = features(texts, f"hf:{tmp_path / 'model'}", tmp_path / "cpu", "cpu")
    halved, halve = [], Budget.halve
    monkeypatch.setattr(Budget, "halve", lambda budget, cost: halved.append(cost) or halve(budget, cost))
    little_memory(160 * 2**20)
    by_gpu = features(texts, f"hf:{tmp_path / 'model'}", tmp_path / "gpu", "cuda", options=LoopOptions(budget=2**18))
    assert halved
    assert_close(by_cpu, by_gpu)


def test_two_ranks_share_one_gpu(process):
    process("extract", "config.yaml", "--set", "engine={kind: torchrun, processes: 2}")
    told = process.json("extract", "config.yaml")
    assert "120" in str(told["recipes"])
