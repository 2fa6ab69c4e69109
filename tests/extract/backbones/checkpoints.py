"""Tiny random checkpoints of image and multimodal families, saved by their own libraries."""

import torch


def stir(model):
    """Give BatchNorm statistics other than the initial ones, so that touching or ignoring them shows."""
    generator = torch.Generator().manual_seed(7)
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.running_mean.uniform_(-0.2, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    return model.eval()


TIMM = {
    "resnet": ("resnet18", {}, {"input_size": (3, 64, 64), "crop_pct": 0.9}),
    "efficientnet": ("efficientnet_lite0", {}, {"input_size": (3, 64, 64)}),
    "vit": ("vit_tiny_patch16_224", {"img_size": 64, "depth": 3, "embed_dim": 48, "num_heads": 3}, {"input_size": (3, 64, 64)}),
    "vit with registers": (
        "vit_small_patch14_reg4_dinov2",
        {"img_size": 56, "depth": 3, "embed_dim": 48, "num_heads": 3},
        {"input_size": (3, 56, 56)},
    ),
    "swin": (
        "swin_tiny_patch4_window7_224",
        {"img_size": 64, "embed_dim": 24, "depths": (1, 1, 1, 1), "num_heads": (1, 2, 2, 4), "window_size": 2},
        {"input_size": (3, 64, 64)},
    ),
    "convnext": ("convnext_atto", {"depths": (1, 1, 1, 1), "dims": (8, 16, 24, 32)}, {"input_size": (3, 64, 64)}),
}


def save_timm(folder, family="resnet", seed=0):
    """Save a small timm model of a family as timm does for the hub."""
    import timm

    torch.manual_seed(seed)
    architecture, arguments, data = TIMM[family]
    model = stir(timm.create_model(architecture, num_classes=5, **arguments))
    model.pretrained_cfg = {**model.pretrained_cfg, **data}
    timm.models.save_for_hf(model, folder, model_args=arguments, safe_serialization=True)
    return folder


def save_processor(folder, size=32, **settings):
    """Write an image processor for square images."""
    from transformers import ViTImageProcessor

    square = {"height": size, "width": size}
    mean, std = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]
    ViTImageProcessor(size=square, image_mean=mean, image_std=std, do_resize=True, **settings).save_pretrained(folder)


HF_IMAGES = ("vit", "dinov2", "dinov2_with_registers", "deit", "resnet", "convnext", "swin")


def save_hf_images(folder, family="vit", seed=0):
    """Save a small vision encoder of transformers with its processor."""
    from transformers import AutoConfig, AutoModel

    torch.manual_seed(seed)
    sizes = {
        "hidden_size": 24,
        "num_hidden_layers": 3,
        "num_attention_heads": 3,
        "intermediate_size": 40,
        "initializer_range": 0.2,
    }
    sizes |= {"image_size": 32, "patch_size": 8}
    if family in ("resnet", "convnext"):
        sizes = {"hidden_sizes": [8, 12, 16, 20], "depths": [1, 1, 1, 1], "embedding_size": 8, "layer_type": "basic"}
    if family == "swin":
        sizes = {"image_size": 32, "patch_size": 2, "embed_dim": 12, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4}
    model = stir(AutoModel.from_config(AutoConfig.for_model(family, **sizes)))
    model.save_pretrained(folder)
    save_processor(folder)
    return folder


TOWER = {
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "initializer_range": 0.2,
}
"""Sizes of either tower of a small multimodal model."""


def save_clip(folder, family="clip", seed=0):
    """Save a small CLIP or SigLIP of transformers with its tokenizer and processor."""
    from transformers import AutoConfig, AutoModel

    from tests.conftest import save_tokenizer

    torch.manual_seed(seed)
    vocabulary = save_tokenizer(folder)
    texts = {**TOWER, "vocab_size": len(vocabulary), "max_position_embeddings": 16}
    texts |= {"bos_token_id": 0, "eos_token_id": vocabulary["[SEP]"], "pad_token_id": 1, "projection_size": 24}
    images = {**TOWER, "image_size": 32, "patch_size": 8}
    config = AutoConfig.for_model(family, text_config=texts, vision_config=images)
    if family == "clip":
        config.projection_dim = 20
    AutoModel.from_config(config).save_pretrained(folder)
    save_processor(folder)
    return folder


OPEN_CLIP = {
    "embed_dim": 20,
    "vision_cfg": {"image_size": 32, "layers": 3, "width": 24, "head_width": 8, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}


def save_open_clip(folder, seed=0, **changes):
    """Save a small CLIP of open_clip in the format it reads from a folder."""
    import copy

    import open_clip
    from open_clip.push_to_hf_hub import save_config_for_hf
    from safetensors.torch import save_file

    torch.manual_seed(seed)
    config = {**copy.deepcopy(OPEN_CLIP), **changes}
    kind = open_clip.CustomTextCLIP if config.pop("custom_text", False) else open_clip.CLIP
    model = stir(kind(**copy.deepcopy(config)))
    open_clip.model.set_model_preprocess_cfg(model, {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.2, 0.3), "size": 32})
    folder.mkdir()
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    save_config_for_hf(model, folder / "open_clip_config.json", {**config, "custom_text": kind is not open_clip.CLIP})
    return folder


def save_blip(folder, architecture="BlipForImageTextRetrieval", seed=0):
    """Save a small BLIP of transformers with its tokenizer and processor."""
    import transformers

    from tests.conftest import save_tokenizer

    torch.manual_seed(seed)
    vocabulary = save_tokenizer(folder)
    texts = {**TOWER, "vocab_size": len(vocabulary), "max_position_embeddings": 16, "encoder_hidden_size": 24}
    texts |= {"bos_token_id": 0, "sep_token_id": 2, "eos_token_id": 2, "pad_token_id": 1}
    images = {**TOWER, "image_size": 32, "patch_size": 8}
    config = transformers.BlipConfig(text_config=texts, vision_config=images, image_text_hidden_size=16)
    getattr(transformers, architecture)(config).save_pretrained(folder)
    save_processor(folder)
    return folder


def run(backbone, samples, outputs):
    """Take samples all the way through a backbone, in one batch."""
    items = backbone.prepare(samples).samples
    if backbone.decode is not None:
        items = [backbone.decode(item) for item in items]
    return backbone.forward(backbone.collate(items), outputs)


def load(uri, kind="image", **settings):
    """Load a backbone for a kind of samples through the registry; return it and what it offers."""
    from extract import BackboneSpec, find_backbone
    from extract.backbones.registry import adapter_of

    spec = BackboneSpec(uri, **settings)
    checkpoint = find_backbone(uri).for_samples(kind)
    return adapter_of(checkpoint).load(checkpoint, spec, "cpu", "float32"), checkpoint.offer


def assert_frozen(backbone, samples, outputs):
    """See that a forward pass leaves parameters and statistics alone and keeps no graph."""
    before = {name: tensor.clone() for name, tensor in backbone.model.state_dict().items()}
    for values in run(backbone, samples, outputs).values():
        assert getattr(values, "states", values).grad_fn is None
    assert not any(parameter.requires_grad for parameter in backbone.model.parameters())
    assert not any(module.training for module in backbone.model.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in backbone.model.state_dict().items())


def assert_batch_equals_single(backbone, samples, outputs):
    """See that samples come out of a batch as they come out alone."""
    together = run(backbone, samples, outputs)
    for row, sample in enumerate(samples):
        for name, values in run(backbone, [sample], outputs).items():
            if hasattr(values, "mask"):
                real = together[name].mask[row].bool()
                close(together[name].states[row][real], values.states[0][values.mask[0].bool()])
            else:
                close(together[name][row], values[0])


def close(found, expected):
    """See that two tensors agree to 1e-5 of the larger of 1 and the greatest value."""
    torch.testing.assert_close(found, expected, atol=3e-5 * max(1.0, float(expected.abs().max())), rtol=0)
