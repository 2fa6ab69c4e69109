import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from extract import BackboneSpec, extract
from tests.conftest import save_encoder, sentences


def save_sentence_model(folder, tmp_path, pooling="mean", prompt=None, include_prompt=True, dense=False):
    """Write a tiny sentence-transformers model through the library."""
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer

    encoder = Transformer(str(save_encoder(tmp_path / "encoder")))
    encoder.max_seq_length = 20
    modules = [encoder, Pooling(32, pooling_mode=pooling, include_prompt=include_prompt)]
    modules += [Dense(32, 10)] if dense else []
    prompts = {"prompts": {"query": prompt}, "default_prompt_name": "query"} if prompt else {}
    SentenceTransformer(modules=[*modules, Normalize()], device="cpu", **prompts).save_pretrained(str(folder))
    return folder


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"pooling": "cls", "dense": True},
        {"prompt": "the film was "},
        {"prompt": "the film was ", "include_prompt": False},
    ],
)
def test_pooled_equals_the_library_s_encode(tmp_path, settings):
    folder = save_sentence_model(tmp_path / "model", tmp_path, **settings)
    texts = ["good", *sentences(20)]
    features = extract(texts, f"st:{folder}", str(tmp_path / "store"))
    assert features.outputs == ("pooled",)
    expected = SentenceTransformer(str(folder), device="cpu").encode(texts)
    np.testing.assert_allclose(features.array(), expected, atol=1e-5, rtol=0)


def test_a_prompt_can_be_replaced_and_taken_away(tmp_path):
    folder = save_sentence_model(tmp_path / "model", tmp_path, prompt="the film was ")
    library = SentenceTransformer(str(folder), device="cpu")
    for prompt in ("we loved ", ""):
        features = extract(["good"], BackboneSpec(f"st:{folder}", prompt=prompt), str(tmp_path / "store"))
        assert features.extracted == 1
        np.testing.assert_allclose(features.array(), library.encode(["good"], prompt=prompt), atol=1e-5, rtol=0)


def test_the_real_all_minilm_equals_the_library_s_encode(tmp_path):
    from extract import find_backbone

    texts = [*sentences(30), "What a wonderful film! 🎬", "word " * 1000]
    features = extract(texts, "all-MiniLM-L6-v2", str(tmp_path / "store"))
    library = SentenceTransformer(find_backbone("all-MiniLM-L6-v2").location, device="cpu")
    np.testing.assert_allclose(features.array(), library.encode(texts), atol=1e-5, rtol=0)
    np.testing.assert_allclose(np.linalg.norm(features.array(), axis=1), 1, atol=1e-5)
