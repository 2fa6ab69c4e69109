import subprocess
import sys

import numpy as np
import pytest

from extract import BackboneError, BadSampleError, ImageFile, LoopOptions, Samples, extract, load_samples
from tests.extract.backbones.checkpoints import save_clip, save_timm
from tests.images import broken_contents, encoded, picture, write_image_folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return f"timm:{save_timm(tmp_path_factory.mktemp('timm') / 'model', 'convnext')}"


@pytest.fixture
def store(tmp_path):
    return str(tmp_path / "store")


def broken_folder(folder):
    write_image_folder(folder, 12)
    for name, content in broken_contents().items():
        (folder / "dark" / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("workers", [0, 2])
def test_a_folder_with_ten_broken_files_reports_ten_with_place_and_reason(model, store, tmp_path, workers):
    samples = load_samples(broken_folder(tmp_path / "data"))
    features = extract(samples, model, store, options=LoopOptions(workers=workers))
    assert (features.samples, features.extracted, len(features.skipped)) == (22, 12, 10)
    reasons = {skipped.id: skipped.reason for skipped in features.skipped}
    assert reasons.keys() == {f"dark/{name}" for name in broken_contents()}
    assert reasons["dark/empty.jpg"] == "the file is empty"
    assert "not an image" in reasons["dark/text.jpg"]
    assert "larger than 100,000,000 pixels" in reasons["dark/bomb.png"]
    assert [samples.labels[row] for row in features.rows].count("dark") == 6


def test_where_only_broken_images_are_missing_the_backbone_is_not_loaded(model, store, tmp_path):
    samples = load_samples(broken_folder(tmp_path / "data"))
    extract(samples, model, store)
    again = extract(samples, model, store)
    assert (again.cached, again.extracted, len(again.skipped), again.backbone_loaded) == (12, 0, 10, False)


def test_strict_makes_a_broken_image_an_error(model, store, tmp_path):
    with pytest.raises(BadSampleError, match=r"dark/empty.jpg: the file is empty"):
        extract(load_samples(broken_folder(tmp_path / "data")), model, store, strict=True)
    with pytest.raises(BadSampleError, match=r"0: not an image"):
        extract([b"no image"], model, store, strict=True)


def test_an_image_is_extracted_once_whatever_holds_it(model, store, tmp_path):
    content = encoded(picture())
    (tmp_path / "a.png").write_bytes(content)
    first = extract([ImageFile(str(tmp_path / "a.png")), content, tmp_path / "a.png"], model, store)
    assert (first.extracted, first.cached) == (1, 2)
    pixels = extract([picture(), np.asarray(picture())], model, store)
    assert (pixels.extracted, pixels.cached) == (1, 1)
    np.testing.assert_allclose(first.array()[0], pixels.array()[0], atol=1e-5)


def test_texts_for_a_backbone_of_images_are_paths(model, store, tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(picture()))
    features = extract([str(tmp_path / "a.png"), str(tmp_path / "b.png")], model, store)
    assert features.extracted == 1
    assert [(skipped.row, skipped.reason) for skipped in features.skipped] == [(1, "there is no such file")]


def test_samples_of_another_kind_among_images_are_skipped(model, store):
    features = extract(Samples.of([picture(), None, 3, {"a": 1}]), model, store)
    assert features.rows.tolist() == [0]
    assert [skipped.reason for skipped in features.skipped] == ["no image", "not an image but int", "not an image but dict"]


def test_images_for_a_backbone_of_texts_are_wrong_usage(tiny_bert, store):
    with pytest.raises(BackboneError, match="takes texts, and the samples are images"):
        extract([picture()], f"hf:{tiny_bert}", store)


def test_nothing_missing_means_that_neither_torch_nor_a_library_of_images_is_imported(model, store, tmp_path):
    folder, clip = write_image_folder(tmp_path / "data", 4), save_clip(tmp_path / "clip")
    uris = [model, f"hf:{clip}"]
    for uri in uris:
        extract(load_samples(folder), uri, store)
    program = f"""
import sys
from extract import extract, load_samples
for uri in {uris!r}:
    features = extract(load_samples({str(folder)!r}), uri, {store!r})
    assert (features.cached, features.backbone_loaded) == (4, False)
    assert len(features.array()) == 4
print([name for name in ("torch", "transformers", "timm", "open_clip", "PIL", "datasets") if name in sys.modules])
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_features_do_not_depend_on_workers_or_batches(model, tmp_path):
    samples = load_samples(write_image_folder(tmp_path / "data", 20))
    ways = [LoopOptions(workers=0, budget=1), LoopOptions(workers=2, budget=7), LoopOptions()]
    found = [extract(samples, model, str(tmp_path / f"store{n}"), options=way).array() for n, way in enumerate(ways)]
    np.testing.assert_allclose(found[1], found[0], atol=1e-5)
    np.testing.assert_allclose(found[2], found[0], atol=1e-5)


def test_a_backbone_of_ones_own_that_is_thought_to_take_texts_is_told_how_to_say_otherwise(tmp_path):
    images = load_samples(write_image_folder(tmp_path / "images", count=4))
    (tmp_path / "mine.py").write_text("def make():\n    return lambda texts: [[1.0] for _ in texts]\n")
    with pytest.raises(BackboneError, match=r'and the samples are images; say so .* custom_backbone\(..., takes="image"\)'):
        extract(images, f"python:{tmp_path}/mine.py:make", str(tmp_path / "store"))
