import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from cache import FeatureStore
from cache.maintenance import verify
from extract import BackboneSpec, BadSampleError, Columns, Samples, extract, load_samples
from extract.errors import NoSuchBackboneError
from tests.conftest import save_encoder, sentences, write_reviews


@pytest.fixture
def store(tmp_path):
    return str(tmp_path / "store")


def counts(features):
    return (features.samples, features.cached, features.extracted, len(features.skipped))


def test_a_sample_is_never_embedded_twice(tiny_bert, store):
    texts = sentences(40)
    first = extract([*texts, *texts[:5]], f"hf:{tiny_bert}", store)
    assert counts(first) == (45, 5, 40, 0)
    assert first.backbone_loaded
    again = extract(texts[::-1], f"hf:{tiny_bert}", store)
    assert counts(again) == (40, 40, 0, 0)
    assert not again.backbone_loaded
    assert np.array_equal(again.array(), first.array()[:40][::-1])


def test_nothing_missing_means_that_torch_is_not_even_imported(tiny_bert, store, tmp_path):
    extract(sentences(5), f"hf:{tiny_bert}", store)
    program = f"""
import sys
from extract import extract
from tests.conftest import sentences
features = extract(sentences(5), "hf:{tiny_bert}", {store!r})
assert (features.cached, features.backbone_loaded) == (5, False)
assert features.array().shape == (5, 32)
print([name for name in ("torch", "transformers", "sklearn", "datasets") if name in sys.modules])
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_a_hundred_rows_added_to_a_csv_extract_exactly_a_hundred(tiny_bert, store, tmp_path):
    path = write_reviews(tmp_path / "r.csv", 150)
    columns = Columns("text", "label")
    assert extract(load_samples(path, columns), f"hf:{tiny_bert}", store).extracted == 150
    with open(path, "a") as file:
        file.writelines(f"another review number {number},good,short,train\n" for number in range(100))
    grown = extract(load_samples(path, columns), f"hf:{tiny_bert}", store)
    assert counts(grown) == (250, 150, 100, 0)


def test_a_changed_label_extracts_nothing_and_is_another_table(tiny_bert, store, tmp_path):
    path = write_reviews(tmp_path / "r.csv", 30)
    columns = Columns("text", "label")
    extract(load_samples(path, columns), f"hf:{tiny_bert}", store)
    path.write_text(path.read_text().replace(",good,", ",superb,", 1))
    assert extract(load_samples(path, columns), f"hf:{tiny_bert}", store).extracted == 0
    assert len(list(Path(store, "tables").iterdir())) == 2


@pytest.mark.parametrize("change", ["max_length", "prompt", "precision", "dtype", "weights", "settings", "name"])
def test_a_change_that_could_change_a_feature_is_another_recipe(tmp_path, store, change):
    folder = save_encoder(tmp_path / "model")
    before = extract(sentences(6), f"hf:{folder}", store)
    changed = {"max_length": 8, "prompt": "so ", "precision": "bfloat16", "dtype": "float16"}
    spec = BackboneSpec(f"hf:{folder}", **({change: changed[change]} if change in changed else {}))
    if change == "weights":
        weights = bytearray((folder / "model.safetensors").read_bytes())
        weights[-2] ^= 0x40
        (folder / "model.safetensors").write_bytes(weights)
    elif change == "settings":
        tokenizer = (folder / "tokenizer.json").read_text()
        (folder / "tokenizer.json").write_text(tokenizer.replace('"Whitespace"', '"WhitespaceSplit"'))
    elif change == "name":
        spec = BackboneSpec(f"hf:{shutil.copytree(folder, tmp_path / 'renamed')}")
    after = extract(sentences(6), spec, store)
    assert (after.extracted, after.recipe.id == before.recipe.id) == (6, False)
    assert len(FeatureStore(store).recipes()) == 2


def test_one_more_output_extracts_that_one_alone(tiny_bert, store):
    texts = sentences(10)
    first = extract(texts, f"hf:{tiny_bert}", store, "mean")
    more = extract(texts, f"hf:{tiny_bert}", store, [{"pooling": ["mean", "cls"]}])
    assert more.recipe == first.recipe
    assert (more.extracted, more.outputs) == (10, ("layer3.mean", "layer3.cls"))
    shards = list(Path(store).glob("recipes/*/shards/*.h5"))
    assert len(shards) == 2
    assert FeatureStore(store).holding(more.recipe).outputs == {"layer3.cls": (10, 32), "layer3.mean": (10, 32)}
    import h5py

    assert sorted(len(h5py.File(shard)["outputs"]) for shard in shards) == [1, 1]
    assert extract(texts, f"hf:{tiny_bert}", store, "cls").extracted == 0


def test_bad_samples_are_skipped_and_told_and_labels_can_be_aligned(tiny_bert, store):
    features = extract(["good", "", "caf\udce9", "bad", None, ""], f"hf:{tiny_bert}", store)
    assert counts(features) == (6, 0, 2, 4)
    assert features.rows.tolist() == [0, 3]
    assert features.array().shape == (2, 32)
    assert [skipped.row for skipped in features.skipped] == [1, 2, 4, 5]
    labels = np.array(list("abcdef"))
    assert labels[features.rows].tolist() == ["a", "d"]


def test_strict_makes_a_bad_sample_an_error_before_anything_is_done(tiny_bert, store):
    with pytest.raises(BadSampleError, match=r"1: empty text \(and 1 more\)"):
        extract(["good", "", None], f"hf:{tiny_bert}", store, strict=True)
    assert not Path(store).exists()


def test_a_sample_with_no_finite_feature_is_skipped_with_its_twins(tmp_path, store):
    folder = save_encoder(tmp_path / "model")
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder)
    word = __import__("transformers").AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids("awful")
    model.embeddings.word_embeddings.weight.data[word] = float("nan")
    model.save_pretrained(folder)
    samples = Samples.of(["good film", "awful film", "great film", "awful film"])
    features = extract(samples, f"hf:{folder}", store)
    assert counts(features) == (4, 0, 2, 2)
    assert [(s.row, s.reason) for s in features.skipped] == [
        (1, "layer3.mean is not finite in float32"),
        (3, features.skipped[0].reason),
    ]
    assert features.array().shape == (2, 32)


def test_nothing_to_extract_is_no_error(tiny_bert, store):
    assert counts(extract([], f"hf:{tiny_bert}", store)) == (0, 0, 0, 0)
    assert counts(extract(["", None], f"hf:{tiny_bert}", store)) == (2, 0, 0, 2)


def test_a_text_of_a_megabyte_and_emoji_are_extracted(tiny_bert, store):
    assert extract(["good " * 200_000, "🎬🍿", "عربي", "\u202eabc"], f"hf:{tiny_bert}", store).extracted == 4


EXTRACTION = """
import sys
from extract import loop
loop.SECONDS_PER_SHARD, loop.FIRST_SLICE = 0.1, 20
from extract import LoopOptions, extract
from tests.conftest import sentences
print("begun", flush=True)
extract(sentences(12_000), sys.argv[1], sys.argv[2], options=LoopOptions(budget=8))  # a text at a time
print("done", flush=True)
"""


@pytest.fixture(scope="module")
def undisturbed(tiny_bert, tmp_path_factory):
    """The features of an extraction that nothing stopped."""
    return extract(sentences(12_000), f"hf:{tiny_bert}", str(tmp_path_factory.mktemp("whole"))).array()


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_extraction_goes_on_where_it_was(ctrl_c_reaches_children, tiny_bert, tmp_path, undisturbed, how):
    place = tmp_path / "killed"
    arguments = [sys.executable, "-c", EXTRACTION, f"hf:{tiny_bert}", str(place)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=os.getcwd())
    process.stdout.readline()
    while process.poll() is None and len(list(place.glob("recipes/*/shards/*.h5"))) < 3:
        time.sleep(0.01)
    process.send_signal(how)
    assert "done" not in process.stdout.read()
    process.wait()
    store = FeatureStore(place)
    committed = store.holding(store.recipes()[0]).rows
    assert 0 < committed < 12_000
    resumed = extract(sentences(12_000), f"hf:{tiny_bert}", store)
    assert (resumed.cached, resumed.extracted) == (committed, 12_000 - committed)
    np.testing.assert_allclose(resumed.array(), undisturbed, atol=1e-5, rtol=0)


@pytest.mark.parametrize("content", [b"{", None])
def test_a_damaged_description_of_a_recipe_is_written_again_though_nothing_is_missing(tiny_bert, store, content):
    first = extract(sentences(5), f"hf:{tiny_bert}", store)
    description = FeatureStore(store).folder(first.recipe) / "recipe.json"
    whole = description.read_bytes()
    if content is None:
        description.unlink()
    else:
        description.write_bytes(content)
        assert "the next extraction with it writes it again" in " ".join(verify(FeatureStore(store)).damaged.values())
    again = extract(sentences(5), f"hf:{tiny_bert}", FeatureStore(store))
    assert (again.cached, again.extracted) == (5, 0)
    assert description.read_bytes() == whole
    assert verify(FeatureStore(store)).damaged == {}


def test_a_backbone_may_come_with_its_settings_as_in_a_config(tiny_bert, tmp_path):
    given = {"name": f"hf:{tiny_bert}", "max_length": 8}
    spec = BackboneSpec(f"hf:{tiny_bert}", max_length=8)
    found, expected = (extract(sentences(3), one, str(tmp_path / "store")) for one in (given, spec))
    assert found.recipe.id == expected.recipe.id
    with pytest.raises(NoSuchBackboneError, match="'max_len' is no setting of a backbone; settings are name, max_length"):
        extract(sentences(3), {"name": f"hf:{tiny_bert}", "max_len": 8}, str(tmp_path / "store"))
    with pytest.raises(NoSuchBackboneError, match="need its `name`"):
        extract(sentences(3), {"max_length": 8}, str(tmp_path / "store"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize("device", ["cuda", "gpu"])
def test_a_device_that_is_not_here_is_told_before_anything_is_loaded(device, tiny_bert, tmp_path):
    with pytest.raises(NoSuchBackboneError, match=f"device `{device}` cannot be used: .*; leave it out, or name cpu"):
        extract(sentences(3), f"hf:{tiny_bert}", str(tmp_path / "store"), device=device)
