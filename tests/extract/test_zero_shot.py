import numpy as np
import pytest
import torch

from extract import BackboneError, extract, zero_shot_weights
from tests.extract.backbones.checkpoints import save_clip, save_open_clip
from tests.images import picture

CLASSES = ["cat", "dog", "fire engine"]
TEMPLATES = ["a photo of a {}.", "a drawing of the {}.", lambda name: f"{name}, blurred"]


def test_the_weights_equal_the_library_s(tmp_path):
    import open_clip

    folder = save_open_clip(tmp_path / "model")
    model, tokenizer = open_clip.create_model(f"local-dir:{folder}").eval(), open_clip.get_tokenizer(f"local-dir:{folder}")
    templates = [lambda name, template=template: template.format(name) for template in TEMPLATES[:2]] + TEMPLATES[2:]
    expected = open_clip.build_zero_shot_classifier(model, tokenizer, CLASSES, templates).T.numpy()
    found = zero_shot_weights(f"open_clip:{folder}", CLASSES, TEMPLATES, str(tmp_path / "store"))
    assert found.shape == (3, 20)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_products_with_images_equal_the_library_s_logits(tmp_path):
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    folder, store = save_clip(tmp_path / "model"), str(tmp_path / "store")
    names, pictures = ["good film", "bad plot"], [picture(seed) for seed in range(3)]
    weights = zero_shot_weights(f"hf:{folder}", names, ["the {}"], store)
    images = extract(pictures, f"hf:{folder}", store, "normalised").array()
    model = AutoModel.from_pretrained(folder).eval()
    tokens = AutoTokenizer.from_pretrained(folder)([f"the {name}" for name in names], return_tensors="pt", padding=True)
    pixels = AutoImageProcessor.from_pretrained(folder)(images=pictures, return_tensors="pt")
    with torch.no_grad():
        logits = model(**tokens, **pixels).logits_per_image / model.logit_scale.exp()
    np.testing.assert_allclose(images @ weights.T, logits.numpy(), atol=1e-5)


def test_a_backbone_without_such_a_tower_is_refused(tiny_bert, tmp_path):
    with pytest.raises(BackboneError, match="'normalised' is not a pooling"):
        zero_shot_weights(f"hf:{tiny_bert}", CLASSES, store=str(tmp_path / "store"))
    with pytest.raises(BackboneError, match="at least one class"):
        zero_shot_weights(f"hf:{tiny_bert}", [])
