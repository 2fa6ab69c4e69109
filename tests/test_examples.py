"""Examples, experiments and notebooks run as they stand, with fewer samples."""

import json
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A working directory whose feature store the scripts share."""
    return tmp_path_factory.mktemp("examples")


@pytest.fixture
def run(work, monkeypatch, capsys):
    """Run a script with arguments; return what it printed."""

    def run_script(script, *arguments):
        monkeypatch.chdir(work)
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        runpy.run_path(str(ROOT / script), run_name="__main__")
        return capsys.readouterr().out

    return run_script


def test_the_custom_backbones_of_the_example_are_extracted_and_trained_on(run):
    lines = run("examples/custom_backbone.py").splitlines()
    assert [line.split()[0] for line in lines] == ["python:Sequential", "python:Words"]
    assert all(line.endswith("1.00") for line in lines)


@pytest.mark.slow
def test_texts_are_classified(run):
    printed = run("examples/text_classification.py", "--samples", 80, "--epochs", 5)
    assert "test accuracy" in printed
    assert "product: Battery lasts two days" in printed


@pytest.mark.slow
def test_pictures_are_classified(run):
    printed = run("examples/image_classification.py", "--samples", 80, "--size", 64, "--epochs", 5)
    assert "test accuracy" in printed


@pytest.mark.slow
def test_sentiments_are_told_and_the_top_block_may_learn(run):
    printed = run("examples/sentiment_analysis.py", "--samples", 60, "--epochs", 5, "--unfreeze", 1)
    assert "training what is above, on what it gives there" in printed
    assert "taken for" in printed


@pytest.mark.slow
def test_every_form_of_data_gives_the_same_accuracy(run):
    lines = run("examples/custom_dataset.py").splitlines()
    assert [line.partition(":")[0] for line in lines] == ["a file", "pairs", "columns", "a torch data set"]
    assert all(line.endswith("accuracy 1.00") for line in lines)


@pytest.mark.slow
def test_a_head_of_ones_own_is_swept_and_put_on_a_model(run):
    lines = run("examples/custom_head.py", "--samples", 80).splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "logistic regression",
        "cosine, best of 4 settings",
        "cosine as a model's classifier",
    ]


@pytest.mark.slow
def test_the_layers_of_an_encoder_are_ranked(run, work):
    printed = run("experiments/bert_feature_based.py", "--samples", 100, "--out", "out")
    assert "on the test split" in printed
    assert {"layers.png", "few_shot.png"} <= {file.name for file in (work / "out").iterdir()}


@pytest.mark.slow
def test_the_stages_of_a_network_are_ranked(run, work):
    printed = run("experiments/resnet_feature_based.py", "--samples", 100, "--size", 64, "--out", "out")
    assert "on the test split" in printed
    assert (work / "out" / "stages.png").is_file()


@pytest.mark.slow
def test_three_ways_of_training_are_compared(run, work):
    printed = run("experiments/comparison_study.py", "--samples", 32, "--epochs", 1, "--out", "out")
    assert "all unfrozen  " in printed
    assert "frozen against two blocks unfrozen" in printed
    assert (work / "out" / "comparison.png").is_file()


NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run_in_a_kernel_of_their_own(path, work, monkeypatch):
    import nbclient
    import nbformat

    monkeypatch.setenv("HEADSTART_SAMPLES", "60")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(work)}}).execute()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_saved_with_what_a_run_gave(path):
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not any(output["output_type"] == "error" for output in outputs)


def test_the_notebooks_are_here():
    assert [path.stem for path in NOTEBOOKS] == ["feature_based_tutorial", "model_comparison", "visualization_demo"]
