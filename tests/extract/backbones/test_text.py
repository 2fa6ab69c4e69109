import pytest
import torch

from extract import BackboneError, BackboneSpec, find_backbone
from extract.backbones.text import TextBackbone
from extract.outputs import Offer, parse_outputs
from tests.conftest import WORDS, save_encoder, sentences

FAMILIES = ("bert", "roberta", "distilbert", "electra")


def load(folder, **settings):
    spec = BackboneSpec(f"hf:{folder}", **settings)
    return TextBackbone.load(find_backbone(spec.backbone), spec, "cpu", "float32")


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    return save_encoder(tmp_path_factory.mktemp("family") / request.param, request.param)


def test_every_layer_and_pooling_equals_the_library_s_own_one_by_one(family):
    from transformers import AutoModel, AutoTokenizer

    backbone = load(family)
    outputs = parse_outputs({"layer": "all", "pooling": ["cls", "mean", "max"]}, Offer(3))
    texts = ["good", *sentences(8), " ".join(WORDS * 8)]
    prepared = backbone.prepare(texts)
    features = backbone.forward(backbone.collate(prepared.samples), outputs)
    model, tokenizer = AutoModel.from_pretrained(family).eval(), AutoTokenizer.from_pretrained(family)
    assert max(prepared.costs) == 64
    for number, text in enumerate(texts):
        with torch.no_grad():
            states = model(**tokenizer(text, return_tensors="pt", truncation=True, max_length=64), output_hidden_states=True)
        for layer, tokens in enumerate(states.hidden_states):
            expected = {"cls": tokens[0, 0], "mean": tokens[0].mean(0), "max": tokens[0].amax(0)}
            for pooling, vector in expected.items():
                torch.testing.assert_close(features[f"layer{layer}.{pooling}"][number], vector, atol=1e-5, rtol=0)


def test_frozen_means_frozen(family):
    backbone = load(family)
    before = {name: tensor.clone() for name, tensor in backbone.model.state_dict().items()}
    features = backbone.forward(backbone.collate(backbone.prepare(sentences(3)).samples), parse_outputs("mean", Offer(3)))
    assert not any(parameter.requires_grad for parameter in backbone.model.parameters())
    assert not any(module.training for module in backbone.model.modules())
    assert features["layer3.mean"].grad_fn is None
    assert all(torch.equal(before[name], tensor) for name, tensor in backbone.model.state_dict().items())


def test_a_shorter_length_cuts_and_a_longer_one_than_the_model_takes_is_refused(tiny_bert):
    assert load(tiny_bert, max_length=5).prepare([" ".join(WORDS)]).costs == [5]
    with pytest.raises(BackboneError, match="max_length 65 is not between 2 and 64"):
        load(tiny_bert, max_length=65)


def test_a_prompt_stands_before_every_text(tiny_bert):
    plain, prompted = load(tiny_bert), load(tiny_bert, prompt="the film was ")
    assert prompted.prepare(["good"]) == plain.prepare(["the film was good"])


def test_bfloat16_is_close_and_told_apart(tiny_bert):
    spec = BackboneSpec(f"hf:{tiny_bert}")
    low = TextBackbone.load(find_backbone(spec.backbone), spec, "cpu", "bfloat16")
    outputs = parse_outputs("mean", Offer(3))
    batch = low.collate(low.prepare(sentences(4)).samples)
    exact, rounded = load(tiny_bert).forward(batch, outputs)["layer3.mean"], low.forward(batch, outputs)["layer3.mean"]
    assert rounded.dtype == torch.float32
    assert 0 < (exact - rounded).abs().max() < 0.1


def test_a_checkpoint_that_does_not_load_is_one_clear_line(tmp_path):
    folder = save_encoder(tmp_path / "broken")
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(BackboneError, match="hf:broken: .* does not load") as caught:
        load(folder)
    assert "\n" not in str(caught.value)
