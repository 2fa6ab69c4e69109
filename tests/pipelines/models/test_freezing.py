import pytest
import torch
from torch import nn

from pipelines.errors import UsageError
from pipelines.models.freezing import find_blocks, find_parts, rates_by_depth, set_training


def encoder(blocks=12):
    layers = nn.ModuleList([nn.ModuleDict({"attention": nn.Linear(4, 4), "output": nn.Linear(4, 4)}) for _ in range(blocks)])
    return nn.ModuleDict(
        {
            "embeddings": nn.Sequential(nn.Linear(4, 4), nn.Dropout()),
            "encoder": nn.ModuleDict({"layer": layers}),
            "pooler": nn.Linear(4, 4),
        }
    )


def resnet_like():
    return nn.ModuleDict({f"layer{number}": nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)) for number in range(1, 5)})


def of(module, name):
    return set(module.get_submodule(name).parameters())


def test_blocks_are_the_list_that_holds_the_most_parameters():
    assert find_blocks(encoder()) == [f"encoder.layer.{number}" for number in range(12)]


def test_blocks_may_be_children_that_are_numbered():
    assert find_blocks(resnet_like()) == ["layer1", "layer2", "layer3", "layer4"]


@pytest.mark.parametrize("name", ["layer.11", "encoder.layer.11", 11, "11", -1])
def test_a_part_goes_by_its_name_the_end_of_it_or_its_number(name):
    module = encoder()
    assert set(find_parts(module, name)) == of(module, "encoder.layer.11")


def test_layer_1_is_not_layer_11():
    module = encoder()
    assert set(find_parts(module, "layer.1")) == of(module, "encoder.layer.1")


def test_the_end_of_a_name_may_fit_several_parts_and_single_parameters():
    module = encoder(2)
    assert len(find_parts(module, "attention")) == 4
    assert find_parts(module, "pooler.bias") == [module["pooler"].bias]


def test_a_part_that_is_not_there_is_told_with_the_nearest_and_the_blocks():
    with pytest.raises(
        UsageError, match=r"no part `layr\.11`; did you mean `layer\.11`.*encoder\.layer\.0 to encoder\.layer\.11"
    ):
        find_parts(encoder(), "layr.11")
    with pytest.raises(UsageError, match="no block 12; blocks are .* or 0 to 11"):
        find_parts(encoder(), 12)
    with pytest.raises(UsageError, match="has no blocks"):
        find_parts(nn.Linear(2, 2), 0)


def test_what_is_frozen_stays_in_evaluation_mode():
    module = encoder(2)
    module.requires_grad_(False)
    for parameter in find_parts(module, 1):
        parameter.requires_grad_(True)
    set_training(module, True)
    assert module["encoder"]["layer"][1].training
    assert not any(part.training for part in (module, module["embeddings"][1], module["encoder"]["layer"][0]))
    set_training(module, False)
    assert not any(part.training for part in module.modules())


def test_lower_blocks_learn_more_slowly():
    module = encoder(3)
    groups = rates_by_depth(module, 1e-3, decay=0.5)
    rates = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    found = [
        rates[id(next(module.get_submodule(name).parameters()))] for name in (*find_blocks(module), "embeddings", "pooler")
    ]
    assert found == pytest.approx([0.25e-3, 0.5e-3, 1e-3, 0.125e-3, 1e-3])


def test_only_what_learns_has_a_rate():
    module = encoder(3)
    module.requires_grad_(False)
    for parameter in find_parts(module, 1):
        parameter.requires_grad_(True)
    (group,) = rates_by_depth(module, 1e-3, decay=0.5)
    assert set(group["params"]) == of(module, "encoder.layer.1")
    assert group["lr"] == pytest.approx(0.5e-3)
    assert torch.is_tensor(group["params"][0])
