"""What a transformers checkpoint can give, read from its configuration without loading it. No torch here."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from extract.backbones.hf_families import describe_images
from extract.errors import BackboneError
from extract.outputs import OWN, Offer

LAYER_FIELDS = ("num_hidden_layers", "n_layers", "num_layers", "n_layer", "encoder_layers")

DECODERS = {
    "bloom", "codegen", "cohere", "cohere2", "deepseek_v2", "deepseek_v3", "falcon", "gemma", "gemma2", "gemma3_text",
    "glm", "glm4", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox", "gpt_oss", "gptj", "granite", "llama", "mistral", "mixtral",
    "mpt", "olmo", "olmo2", "opt", "phi", "phi3",
    "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "smollm3", "stablelm", "starcoder2",
}  # fmt: skip
"""Model types whose tokens see only what stands before them, so that the last token is the one that has seen all."""


def describe(scheme: str, fetch: Callable[[str], Path | None], place: str) -> Offer:
    """Tell which outputs a checkpoint has.

    Parameters
    ----------
    scheme
        Its loader; sentence-transformers models have a pooled feature of their own.
    fetch
        Gives the path of a file of the checkpoint, None if it has no such file.
    place
        The checkpoint, for messages.

    Raises
    ------
    BackboneError
        If there is no configuration, or it does not say how many layers there are.
    """
    modules = read_json(fetch("modules.json"), place) or [{"path": ""}]  # where sentence-transformers keep their encoder
    config = read_json(fetch(str(Path(modules[0]["path"]) / "config.json")), place)
    if not isinstance(config, dict):
        raise BackboneError(f"{place}: no config.json, so this is no transformers checkpoint")
    if scheme == "hf" and (images := describe_images(config)) is not None:
        return images
    layers = count_layers(config)
    if layers is None:
        raise BackboneError(f"{place}: config.json does not say how many layers there are ({', '.join(LAYER_FIELDS)})")
    if scheme == "st":
        return Offer(layers, OWN, (OWN,))
    return Offer(layers, "last" if is_decoder(config) else "mean")


def count_layers(config: Mapping[str, Any]) -> int | None:
    """Return the number of layers after the embeddings that a configuration states (of the encoder, where there is one)."""
    for part in (config, config.get("text_config")):
        for field in LAYER_FIELDS:
            if isinstance(part, Mapping) and isinstance(part.get(field), int):
                return int(part[field])
    return None


def is_decoder(config: Mapping[str, Any]) -> bool:
    """Tell whether a configuration is of a model that reads from left to right only."""
    return config.get("model_type") in DECODERS


def read_json(path: Path | None, place: str) -> Any:
    """Read a JSON file of a checkpoint; None where there is none."""
    try:
        return None if path is None else json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BackboneError(f"{place}: {path.name if path else ''} is not JSON: {error}") from error
