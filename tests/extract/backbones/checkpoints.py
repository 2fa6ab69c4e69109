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


def close(found, expected):
    """See that two tensors agree to 1e-5 of the larger of 1 and the greatest value."""
    torch.testing.assert_close(found, expected, atol=1e-5 * max(1.0, float(expected.abs().max())), rtol=0)
