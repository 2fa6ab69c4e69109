import numpy as np
import pytest
import torch
from torchvision.datasets import FakeData, ImageFolder

from extract import SourceError, load_samples
from extract.images import image_keys, resolve
from tests.images import picture, write_image_folder


class Pictures(torch.utils.data.Dataset):
    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


def test_a_data_set_of_torchvision_brings_its_class_names(tmp_path):
    samples = load_samples(ImageFolder(write_image_folder(tmp_path, 6)))
    assert samples.labels == ["bright"] * 3 + ["dark"] * 3
    assert samples.ids == list("012345")
    assert resolve(samples.inputs[0]).size == (32, 24)


def test_generated_images_are_fine_as_long_as_they_are_the_same_again():
    assert len(load_samples(FakeData(5, image_size=(3, 20, 20)))) == 5


@pytest.mark.parametrize("label", [3, torch.tensor(3), np.int64(3)])
def test_labels_come_out_of_the_items_where_there_is_no_list_of_them(label):
    assert load_samples(Pictures([(picture(), label), (picture(1), 0)])).labels == ["3", "0"]


def test_items_may_be_mappings_or_bare_images():
    assert load_samples(Pictures([{"image": picture(), "label": "cat"}])).labels == ["cat"]
    samples = load_samples(Pictures([picture(), torch.zeros(3, 4, 4)]))
    assert samples.labels is None
    assert len(set(image_keys(samples.inputs))) == 2


def test_a_random_transform_is_refused():
    class Noise(Pictures):
        def __getitem__(self, index):
            return torch.rand(3, 4, 4), 0

    with pytest.raises(SourceError, match="Noise: gives another image each time it is asked; take its random transform off"):
        load_samples(Noise([0, 1]))


def test_items_that_are_no_images_are_refused():
    with pytest.raises(SourceError, match="Pictures: its items are no images: not an image but int"):
        load_samples(Pictures([1, 2]))
