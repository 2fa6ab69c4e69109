"""A tuned backbone is saved in its library's own format, and is an ordinary backbone from then on."""

import numpy as np
import pytest
import torch

from extract import BackboneError, custom_backbone, extract
from pipelines import FeatureBasedTrainer
from pipelines.errors import UsageError
from pipelines.models.backbone_module import BackboneModule
from tests.conftest import save_encoder, sentences
from tests.extract.backbones.checkpoints import save_clip, save_hf_images, save_open_clip, save_timm
from tests.extract.backbones.test_sentence import save_sentence_model
from tests.images import write_image_folder
from tests.pipelines.tiny_models import TRAIN, make_model

TEXTS = sentences(6)


def stirred(name, kind=None, **settings):
    """Load a backbone and change all of its weights a little, as training does."""
    module = BackboneModule.load(name, kind, device="cpu", **settings)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    return module


def features(module, samples):
    with torch.inference_mode():
        return module(samples)


def check(module, samples, folder):
    """Save it; see that it comes back as another backbone with the features that it has now; return its spec."""
    spec = module.save(folder)
    back = BackboneModule.load(spec, module.kind, module.output, "cpu")
    torch.testing.assert_close(features(back, samples), features(module, samples), rtol=1e-5, atol=1e-5)
    assert back.recipe.id != module.recipe.id
    assert back.checkpoint.weights != module.checkpoint.weights
    return spec


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "electra", "t5", "bart", "gpt2"])
def test_encoders_load_in_transformers(family, tmp_path):
    from transformers import AutoModel, AutoTokenizer

    module = stirred(f"hf:{save_encoder(tmp_path / 'model', family)}")
    check(module, TEXTS, tmp_path / "tuned")
    loaded = AutoModel.from_pretrained(tmp_path / "tuned").eval()
    encoder = loaded.get_encoder() if loaded.config.is_encoder_decoder else loaded
    tokens = AutoTokenizer.from_pretrained(tmp_path / "tuned")(TEXTS[0], return_tensors="pt")
    with torch.inference_mode():
        states = encoder(input_ids=tokens["input_ids"]).last_hidden_state
    pooled = states[:, -1] if family == "gpt2" else states.mean(dim=1)
    torch.testing.assert_close(pooled, features(module, TEXTS[:1]), rtol=1e-5, atol=1e-5)


def test_sentence_models_load_in_sentence_transformers(tmp_path):
    from sentence_transformers import SentenceTransformer

    folder = save_sentence_model(tmp_path / "model", tmp_path, prompt="we ", dense=True)
    module = stirred(f"st:{folder}")
    check(module, TEXTS, tmp_path / "tuned")
    encoded = SentenceTransformer(str(tmp_path / "tuned"), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(encoded, features(module, TEXTS).numpy(), rtol=1e-5, atol=1e-5)


@pytest.fixture
def pictures(tmp_path):
    folder = write_image_folder(tmp_path / "pictures", 4)
    return sorted(str(path) for path in folder.rglob("*.png"))


@pytest.mark.parametrize("family", ["resnet", "efficientnet", "vit", "swin"])
def test_timm_models_load_in_timm(family, tmp_path, pictures):
    import timm
    from PIL import Image

    module = stirred(f"timm:{save_timm(tmp_path / 'model', family)}")
    check(module, pictures, tmp_path / "tuned")
    model = timm.create_model(f"local-dir:{tmp_path / 'tuned'}", pretrained=True).eval()
    transform = timm.data.create_transform(**timm.data.resolve_data_config(model=model))
    with torch.inference_mode():
        pixels = transform(Image.open(pictures[0]).convert("RGB"))[None]
        pooled = model.forward_head(model.forward_features(pixels), pre_logits=True).flatten(1)
    torch.testing.assert_close(pooled, features(module, pictures[:1]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", ["vit", "dinov2", "resnet"])
def test_vision_encoders_load_in_transformers(family, tmp_path, pictures):
    from transformers import AutoModel

    module = stirred(f"hf:{save_hf_images(tmp_path / 'model', family)}")
    check(module, pictures, tmp_path / "tuned")
    loaded = AutoModel.from_pretrained(tmp_path / "tuned").eval()
    with torch.inference_mode():
        pooled = loaded(pixel_values=module.preprocess(pictures[:1])["pixels"]).pooler_output
    torch.testing.assert_close(pooled.flatten(1), features(module, pictures[:1]), rtol=1e-5, atol=1e-5)


def test_a_pooler_that_a_checkpoint_lacks_is_not_made_up(tmp_path, pictures):
    from safetensors.torch import load_file, save_file

    folder = save_hf_images(tmp_path / "model", "vit")
    weights = {name: value for name, value in load_file(folder / "model.safetensors").items() if "pooler" not in name}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    check(stirred(f"hf:{folder}"), pictures, tmp_path / "tuned")


@pytest.mark.parametrize("kind", ["text", "image"])
@pytest.mark.parametrize("save", [save_clip, save_open_clip])
def test_either_tower_is_saved_with_the_whole_model(save, kind, tmp_path, pictures):
    scheme = "hf" if save is save_clip else "open_clip"
    module = stirred(f"{scheme}:{save(tmp_path / 'model')}", kind)
    samples = {"text": ["we loved it", "a film"], "image": pictures}
    spec = check(module, samples[kind], tmp_path / "tuned")
    other = "image" if kind == "text" else "text"  # is as it was
    plain = BackboneModule.load(f"{scheme}:{tmp_path / 'model'}", other, device="cpu")
    back = BackboneModule.load(spec, other, device="cpu")
    torch.testing.assert_close(features(back, samples[other]), features(plain, samples[other]))


def test_open_clip_loads_what_was_saved(tmp_path, pictures):
    import open_clip

    module = stirred(f"open_clip:{save_open_clip(tmp_path / 'model')}", "image")
    module.save(tmp_path / "tuned")
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{tmp_path / 'tuned'}")
    from PIL import Image

    with torch.inference_mode():
        feature = model.eval().encode_image(transform(Image.open(pictures[0]).convert("RGB"))[None])
    torch.testing.assert_close(feature, features(module, pictures[:1]), rtol=1e-5, atol=1e-5)


def test_a_trained_backbone_is_an_ordinary_one_after_saving(tiny_bert, tmp_path):
    model = make_model(tiny_bert, tmp_path)
    trainer = FeatureBasedTrainer(model, TRAIN, say=None)
    trainer.unfreeze_layers([-1])
    trainer.train(1, learning_rate=1e-2)
    spec = model.backbone.save(tmp_path / "tuned")
    found = extract(TEXTS, spec, tmp_path / "features").array()
    np.testing.assert_allclose(found, features(model.backbone, TEXTS).numpy(), rtol=1e-5, atol=1e-5)


def test_saving_shows_no_bar_and_leaves_bars_as_they_were(tiny_bert, tmp_path, capfd):
    from transformers.utils import logging

    model = make_model(tiny_bert, tmp_path)
    logging.enable_progress_bar()
    capfd.readouterr()
    model.backbone.save(tmp_path / "tuned")
    told = capfd.readouterr()
    assert (told.out, told.err) == ("", "")
    assert logging.is_progress_bar_enabled()


def test_what_cannot_be_saved_says_so(tiny_bert, tmp_path):
    own = BackboneModule.load(custom_backbone(torch.nn.Linear(26, 4), torch.tensor, version=1), device="cpu")
    with pytest.raises(BackboneError, match="cannot be saved; keep its `state_dict\\(\\)`"):
        own.save(tmp_path / "tuned")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds something"):
        BackboneModule.load(f"hf:{tiny_bert}", device="cpu").save(tmp_path / "full")
