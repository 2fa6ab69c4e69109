"""LoRA: low-rank updates beside frozen weights (Hu et al. 2022), through `peft`."""

from torch import nn

from extract.backbones.blocks import find_blocks
from pipelines.errors import TrainingError
from pipelines.models.backbone_module import BackboneModule


def add_lora(backbone: BackboneModule, rank: int) -> None:
    """Freeze a backbone and put adapters beside the linear layers (and convolutions of one group) of its blocks.

    Every such layer is adapted, not the attention's alone (Dettmers et al. 2023), scaled by twice the rank over the rank,
    without dropout.

    Parameters
    ----------
    backbone
        Changed in place.
    rank
        Of the updates.

    Raises
    ------
    TrainingError
        If it has no layer of the kind.
    """
    from peft import LoraConfig, inject_adapter_in_model

    if backbone.model is None:
        raise TrainingError(f"{backbone.checkpoint.uri}: LoRA needs a torch model, and this backbone has none")
    names = find_layers(backbone.model)
    if not names:
        raise TrainingError(f"{backbone.checkpoint.uri}: it has no linear layer or convolution that LoRA can adapt")
    config = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, bias="none", target_modules=names)
    backbone.requires_grad_(False)
    inject_adapter_in_model(config, backbone.model)
    for name, parameter in backbone.named_parameters():
        parameter.requires_grad_("lora_" in name)


def find_layers(model: nn.Module) -> list[str]:
    """Return the names of the layers that LoRA adapts: those of the blocks, or of the whole model where it has no blocks."""
    blocks = find_blocks(model)
    return [
        name
        for name, part in model.named_modules()
        if (isinstance(part, nn.Linear) or (isinstance(part, nn.Conv2d) and part.groups == 1) or _is_conv1d(part))
        and (not blocks or any(name == block or name.startswith(f"{block}.") for block in blocks))
    ]


def _is_conv1d(part: nn.Module) -> bool:
    """Tell whether a layer is transformers' `Conv1D`, which is GPT-2's linear layer."""
    return type(part).__name__ == "Conv1D" and hasattr(part, "nf")
