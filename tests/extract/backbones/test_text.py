import pytest
import torch

from extract import BackboneError, BackboneSpec, find_backbone
from extract.backbones.text import TextBackbone
from extract.outputs import POOLINGS, Offer, parse_outputs
from tests.conftest import DECODERS, WORDS, save_encoder, sentences

FAMILIES = (
    "bert", "roberta", "distilbert", "electra", "deberta-v2", "modernbert", "xlm-roberta", "mpnet",
    "t5", "mt5", "bart", "gpt2", "llama", "qwen3",
)  # fmt: skip
POOLED = {
    "cls": lambda tokens: tokens[0],
    "last": lambda tokens: tokens[-1],
    "mean": lambda tokens: tokens.mean(0),
    "max": lambda tokens: tokens.amax(0),
    "mean+max": lambda tokens: torch.cat([tokens.mean(0), tokens.amax(0)]),
    "gem": lambda tokens: (cubes := (tokens**3).mean(0)).sign() * cubes.abs() ** (1 / 3),
}


def load(folder, **settings):
    spec = BackboneSpec(f"hf:{folder}", **settings)
    return TextBackbone.load(find_backbone(spec.backbone), spec, "cpu", "float32")


def run(backbone, texts, outputs):
    return backbone.forward(backbone.collate(backbone.prepare(texts).samples), outputs)


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    return save_encoder(tmp_path_factory.mktemp("family") / request.param, request.param)


def library_model(folder):
    """Load a checkpoint as the library would, without ours."""
    import transformers

    model = transformers.AutoModel.from_pretrained(folder)
    return (model.get_encoder() if model.config.is_encoder_decoder else model).eval()


def test_every_layer_and_pooling_of_a_padded_batch_equals_the_library_s_own_one_by_one(family):
    from transformers import AutoTokenizer

    backbone = load(family)
    outputs = parse_outputs({"layer": "all", "pooling": list(POOLINGS)}, find_backbone(f"hf:{family}").offer)
    texts = ["good", *sentences(6), " ".join(WORDS * 8)]
    assert max(backbone.prepare(texts).costs) == 64
    features = run(backbone, texts, outputs)
    model, tokenizer = library_model(family), AutoTokenizer.from_pretrained(family)
    for number, text in enumerate(texts):
        with torch.no_grad():
            found = model(**tokenizer(text, return_tensors="pt", truncation=True, max_length=64), output_hidden_states=True)
        assert len(found.hidden_states) == 4
        for layer, tokens in enumerate([*found.hidden_states[:-1], found.last_hidden_state]):
            for pooling, formula in POOLED.items():
                vector, expected = features[f"layer{layer}.{pooling}"][number], formula(tokens[0])
                if pooling == "gem":  # a cube root is steep at 0 and makes much of a rounding: compare the means of cubes
                    vector, expected = vector**3, expected**3
                torch.testing.assert_close(vector, expected, atol=1e-5, rtol=1e-5 if pooling == "gem" else 1e-6)
            kept = features[f"layer{layer}.tokens"]
            torch.testing.assert_close(kept.states[number][kept.mask[number] == 1], tokens[0], atol=1e-5, rtol=1e-6)


def test_what_reads_from_left_to_right_is_pooled_at_its_last_token_by_default(family):
    (output,) = parse_outputs(None, find_backbone(f"hf:{family}").offer)
    assert output.name == ("layer3.last" if family.name in DECODERS else "layer3.mean")


def test_a_checkpoint_without_some_of_its_weights_is_refused_and_not_made_up(tmp_path):
    from safetensors.torch import load_file, save_file

    folder = save_encoder(tmp_path / "holed")
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"], weights["pooler.dense.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        BackboneError, match=r"1 of its weights are not there, such as encoder\.layer\.1\.output\.dense\.weight"
    ):
        load(folder)


def test_frozen_means_frozen(family):
    backbone = load(family)
    before = {name: tensor.clone() for name, tensor in backbone.model.state_dict().items()}
    features = run(backbone, sentences(3), parse_outputs("mean", Offer(3)))
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


def test_what_is_cut_off_is_counted(tiny_bert):
    prepared = load(tiny_bert, max_length=6).prepare(
        ["good", "good bad great awful", "good bad great awful plot", " ".join(WORDS)]
    )
    assert prepared.costs == [3, 6, 6, 6]
    assert prepared.whole == [3, 6, 7, len(WORDS) + 2]


def test_a_pair_goes_through_the_tokenizer_as_the_library_s_own_and_both_are_cut(tiny_bert):
    from transformers import AutoModel, AutoTokenizer

    backbone = load(tiny_bert, max_length=12)
    pairs = [("good film", "bad plot"), (" ".join(WORDS), "dull"), ("so", " ".join(WORDS)), "a text alone"]
    assert backbone.prepare(pairs).whole == [7, len(WORDS) + 4, len(WORDS) + 4, 5]
    features = run(backbone, pairs, parse_outputs("mean", Offer(3)))["layer3.mean"]
    model, tokenizer = AutoModel.from_pretrained(tiny_bert).eval(), AutoTokenizer.from_pretrained(tiny_bert)
    for row, pair in enumerate(pairs):
        both = (pair,) if isinstance(pair, str) else pair
        with torch.no_grad():
            states = model(**tokenizer(*both, return_tensors="pt", truncation=True, max_length=12)).last_hidden_state
        torch.testing.assert_close(features[row], states[0].mean(0), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("overlap", "family"), [(0, "bert"), (5, "bert"), (4, "gpt2")])
def test_long_texts_are_read_in_windows_and_every_token_counts_once(tmp_path, overlap, family):
    folder = save_encoder(tmp_path / family, family)
    backbone = load(folder, max_length=12, window_overlap=overlap)
    texts = ["good film", *sentences(6, seed=3), " ".join(WORDS * 12)]  # the last one is more windows than are run at once
    outputs = parse_outputs({"layer": [1, 3], "pooling": list(POOLINGS)}, Offer(3))
    features = run(backbone, texts, outputs)
    special = backbone.texts.tokenizer.num_special_tokens_to_add()
    room = 12 - special
    for row, text in enumerate(texts):
        ids = backbone.texts.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        starts = [0]
        while starts[-1] + room < len(ids):
            starts.append(starts[-1] + room - overlap)
        kept = {1: [], 3: []}
        for number, start in enumerate(starts):
            window = ids[start : start + room]
            window = [0, *window, 2] if special else window
            with torch.no_grad():
                states = backbone.model(torch.tensor([window]), output_hidden_states=True).hidden_states
            begin = 0 if number == 0 else special // 2 + overlap - overlap // 2
            end = len(window) if number == len(starts) - 1 else len(window) - special // 2 - overlap // 2
            for layer, parts in kept.items():
                parts.append(states[layer][0, begin:end])
        for layer, parts in kept.items():
            tokens = torch.cat(parts)
            assert len(tokens) == len(ids) + special
            for pooling, formula in POOLED.items():
                if pooling != "gem":
                    found = features[f"layer{layer}.{pooling}"][row]
                    torch.testing.assert_close(found, formula(tokens), atol=1e-5, rtol=1e-6)


def test_windows_that_cannot_be_are_refused_in_one_line(tiny_bert):
    with pytest.raises(BackboneError, match="window_overlap 10 is not less than the 10 tokens"):
        load(tiny_bert, max_length=12, window_overlap=10)
    with pytest.raises(BackboneError, match="window_overlap -1 is negative"):
        load(tiny_bert, window_overlap=-1)
    with pytest.raises(BackboneError, match="not for pairs"):
        load(tiny_bert, window_overlap=4).prepare([("a", "b")])
