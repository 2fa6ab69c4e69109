"""Sizes of timm's architectures, as `headstart backbones --search` shows them.

timm says them of a model that it has made, which takes a tenth of a second each (and timm's import seconds more): too long
for a list of hundreds. So they stand in `timm_sizes.json`, which this module writes (`python -m extract.backbones.timm_sizes`,
some minutes). What a newer timm has besides is listed without sizes.
"""

import json
from functools import lru_cache
from pathlib import Path

_FILE = Path(__file__).with_suffix(".json")


@lru_cache
def timm_sizes() -> dict[str, tuple[int, int, int]]:
    """Return architecture -> layers, width of `pooled`, millions of parameters."""
    return {name: (layers, width, size) for name, (layers, width, size) in json.loads(_FILE.read_text()).items()}


def measure(architecture: str) -> tuple[int, int, int]:
    """Make a model without memory for its weights; return its layers, width of `pooled` and millions of parameters."""
    import timm
    import torch

    from extract.backbones.timm import count_layers

    with torch.device("meta"):
        model = timm.create_model(architecture, pretrained=False)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    width = int(getattr(model, "head_hidden_size", None) or model.num_features)
    return count_layers(model), width, max(1, round(parameters / 1e6))


def write() -> None:
    """Measure every architecture with pretrained weights, and write the file."""
    import timm

    sizes = {}
    for name in sorted({name.partition(".")[0] for name in timm.list_pretrained()}):
        try:
            sizes[name] = measure(name)
        except Exception as error:  # whatever a model raises that cannot be made without memory
            print(f"{name}: {error}")
    _FILE.write_text("{\n" + ",\n".join(f'"{name}": {json.dumps(size)}' for name, size in sizes.items()) + "\n}\n")


if __name__ == "__main__":
    write()
