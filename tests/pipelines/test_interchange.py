import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest


@pytest.fixture
def features(headstart, project):
    headstart("extract", "config.yaml")
    from cache import FeatureStore
    from extract import extract, load_samples
    from extract.sources import Columns
    from pipelines.config_file import load_config

    config = load_config(project / "config.yaml")
    samples = load_samples(project / "reviews.csv", Columns(label="label", split="split"))
    return extract(samples, config.backbones[0].name, FeatureStore(project / "features"))


def test_parquet_holds_features_beside_ids_texts_labels_and_splits(headstart, project, features):
    told = headstart.json("export", "config.yaml", "out")
    table = pq.read_table(project / "out" / told["files"][0])
    assert table.column_names == ["id", "input", "label", "split", "layer3.mean"]
    assert table["id"][0].as_py() == "reviews.csv:2"
    np.testing.assert_array_equal(np.array(table["layer3.mean"].to_pylist(), np.float32), features.array())


def test_npy_and_datasets_hold_the_same(headstart, project, features):
    headstart("export", "config.yaml", "npy", "--format", "npy")
    (file,) = (project / "npy").rglob("layer3.mean.npy")
    np.testing.assert_array_equal(np.load(file), features.array())
    assert pq.read_table(file.parent / "samples.parquet").num_rows == len(features.rows)
    headstart("export", "config.yaml", "ds", "--format", "datasets")
    from datasets import load_from_disk

    (place,) = (project / "ds").iterdir()
    loaded = load_from_disk(str(place))
    np.testing.assert_array_equal(np.array(loaded["layer3.mean"][:], np.float32), features.array())


def test_the_projector_gets_vectors_and_one_line_of_metadata_each(headstart, project, features):
    headstart("export", "config.yaml", "p", "--format", "projector")
    (place,) = (project / "p").iterdir()
    vectors = np.loadtxt(place / "layer3.mean.tsv", delimiter="\t")
    np.testing.assert_allclose(vectors, features.array(), rtol=1e-4, atol=1e-5)
    lines = (place / "metadata.tsv").read_text().splitlines()
    assert lines[0].split("\t") == ["id", "input", "label", "split"]
    assert len(lines) == 1 + len(vectors)
    assert 'tensor_path: "layer3.mean.tsv"' in (place / "projector_config.pbtxt").read_text()


def test_features_from_elsewhere_are_trained_on_like_any_others(headstart, project, features):
    np.save(project / "mine.npy", features.array())
    told = headstart.json("import", "config.yaml", "mine.npy", "--name", "mine")
    assert (told["samples"], told["width"]) == features.array().shape
    trained = headstart.json("train", "config.yaml", "--set", f"backbones=['{told['backbone']}']", "--run", "run")
    same = headstart.json("train", "config.yaml", "--run", "run2")
    assert trained["test"]["accuracy"] == same["test"]["accuracy"]
    assert "some samples have no imported features" in headstart("predict", "run", "a new text", status=1).err
    assert headstart.json("evaluate", "run")["test"]["accuracy"] == trained["test"]["accuracy"]


def test_a_table_of_features_is_matched_by_id(headstart, project, features):
    ids = [f"reviews.csv:{number + 2}" for number in range(120)]
    order = np.random.default_rng(0).permutation(120)
    table = {"id": [ids[row] for row in order], "embedding": features.array()[order].tolist(), "text": ["x"] * 120}
    pq.write_table(pa.table(table), project / "mine.parquet")
    told = headstart.json("import", "config.yaml", "mine.parquet", "--name", "mine")
    plain = headstart.json("import", "config.yaml", "mine.parquet", "--name", "mine", "--column", "embedding")
    assert told["recipe"] == plain["recipe"]
    np.save(project / "mine.npy", features.array())
    assert headstart.json("import", "config.yaml", "mine.npy", "--name", "mine")["recipe"] == told["recipe"]
    pq.write_table(pa.table({name: column[:100] for name, column in table.items()}), project / "some.parquet")
    assert "20 of 120 samples are missing" in headstart("import", "config.yaml", "some.parquet", "--name", "x", status=2).err


def test_what_cannot_be_written_or_read_is_one_line(headstart, project):
    (project / "out").mkdir()
    assert "exists already" in headstart("export", "config.yaml", "out", status=2).err
    assert "has no output `nothing`" in headstart("export", "config.yaml", "new", "--output", "nothing", status=2).err
    assert not (project / "new").exists()
    np.save(project / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    assert "cannot be read" in headstart("import", "config.yaml", "objects.npy", "--name", "x", status=2).err
    np.savez(project / "several.npz", a=np.zeros((120, 2)))
    (project / "several.npz").rename(project / "archive.npy")
    assert "archive of several arrays" in headstart("import", "config.yaml", "archive.npy", "--name", "x", status=2).err
    pq.write_table(pa.table({"e": [["a"]] * 120}), project / "texts.parquet")
    assert "numbers are expected" in headstart("import", "config.yaml", "texts.parquet", "--name", "x", status=2).err
    np.save(project / "none.npy", np.zeros((120, 0)))
    assert "one row for every sample" in headstart("import", "config.yaml", "none.npy", "--name", "x", status=1).err
    twice = {"id": ["reviews.csv:2"] * 120, "e": [[1.0]] * 120}
    pq.write_table(pa.table(twice), project / "twice.parquet")
    assert "ids must be unique" in headstart("import", "config.yaml", "twice.parquet", "--name", "x", status=2).err
    np.save(project / "flat.npy", np.zeros(3))
    assert "[n, d] are expected" in headstart("import", "config.yaml", "flat.npy", "--name", "x", status=2).err
    np.save(project / "few.npy", np.zeros((3, 2)))
    assert "there are 120 samples" in headstart("import", "config.yaml", "few.npy", "--name", "x", status=1).err
