import pytest

from extract.backbones.timm_sizes import measure, timm_sizes


@pytest.mark.parametrize("architecture", ["resnet18", "mobilenetv3_small_050", "vit_tiny_patch16_224", "convnext_atto"])
def test_the_sizes_in_the_file_are_those_of_timms_models(architecture):
    assert timm_sizes()[architecture] == measure(architecture)


def test_nearly_every_pretrained_architecture_is_in_the_file():
    import timm

    architectures = {name.partition(".")[0] for name in timm.list_pretrained()}
    assert len(architectures & timm_sizes().keys()) > 0.9 * len(architectures)
