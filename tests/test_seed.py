"""The document that Headstart began with: all of its code runs, offline, from a cache laid out like a real one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from tests.extract.backbones.checkpoints import save_timm
from tests.hub_cache import put_dataset, put_model
from tests.seed_blocks import read_blocks, write_texts

SEED = Path(__file__).parent / "data" / "seed.md"

pytestmark = pytest.mark.slow


def save_text_model(folder, family, layers):
    """Save a random encoder of a family, with as many layers as the real one."""
    import torch
    from transformers import AutoConfig, AutoModel

    from tests.conftest import save_tokenizer

    torch.manual_seed(0)
    size = len(save_tokenizer(folder)), 32, layers, 4, 48
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    if family == "distilbert":
        names = ("dim", "n_layers", "n_heads", "hidden_dim")
    sizes = dict(zip(("vocab_size", *names), size, strict=True))
    AutoModel.from_config(AutoConfig.for_model(family, **sizes, max_position_embeddings=64)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Run every block in a process of its own; return what was told after each, by heading, and the working directory.

    Of the test processes that ask at once, the first one runs them for all.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "seed"
    with FileLock(f"{folder}.lock"):
        said = folder / "said.txt"
        if not said.exists():
            folder.mkdir()
            said.write_text(run_blocks(folder))
    lines = [json.loads(line) for line in said.read_text().splitlines() if line.startswith('{"heading"')]
    return {line["heading"]: line for line in lines}, folder / "work", said.read_text()


def run_blocks(folder):
    """Run every block of the document in a folder; return what they say."""
    home, work = folder / "huggingface", folder / "work"
    work.mkdir()
    put_model(home, "google-bert/bert-base-uncased", save_text_model(folder / "bert", "bert", 12))
    put_model(home, "distilbert/distilbert-base-uncased", save_text_model(folder / "distilbert", "distilbert", 6))
    put_model(home, "timm/resnet50.a1_in1k", save_timm(folder / "resnet"))
    parts = {
        part: dict(zip(("text", "label"), zip(*write_texts(40, ["neg", "pos"]), strict=True), strict=True))
        for part in ("train", "test")
    }
    put_dataset(
        home,
        "imdb",
        {part: {name: list(values) for name, values in part_.items()} for part, part_ in parts.items()},
        ["neg", "pos"],
    )
    offline = {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    environment = os.environ | offline | {"PYTHONPATH": str(Path(__file__).parents[1]), "XDG_CACHE_HOME": str(folder / "memo")}
    command = [sys.executable, "-m", "tests.seed_blocks", str(SEED)]
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_every_block_runs(told):
    blocks, _, _ = told
    assert list(blocks) == [heading for heading, _ in read_blocks(SEED)]
    assert len(blocks) == 12


def test_the_first_example_trains_bert_on_imdb_out_of_the_cache_of_the_hub(told):
    first = told[0]["Basic Usage"]
    assert first["backbone"] == "hf:google-bert/bert-base-uncased"
    assert (first["epochs"], first["learning"], first["training"]) == (5, [], [])
    assert "training on features that are computed once" in told[2]


def test_every_task_finds_its_backbone(told):
    blocks = told[0]
    assert blocks["Image Classification"]["backbone"] == "timm:resnet50.a1_in1k"
    assert blocks["Sentiment Analysis"]["backbone"] == "hf:distilbert/distilbert-base-uncased"


def test_gradual_unfreezing_lets_the_named_layers_learn_and_no_other(told):
    block = told[0]["Gradual Unfreezing"]
    assert block["phases"] == [0, 5, 8]
    assert block["epochs"] == 10
    assert {name.split(".")[3] for name in block["learning"]} == {"8", "9", "10", "11"}


def test_features_are_analysed_and_models_compared(told):
    blocks = told[0]
    assert blocks["Feature Analysis"]["features"] == [9, 32]
    (frozen, full), metrics = (
        blocks["Model Comparison"]["results"].values(),
        {"accuracy", "f1", "training_time", "memory_usage"},
    )
    assert frozen.keys() == full.keys() == metrics
    assert all(value is not None for model in (frozen, full) for value in model.values())


def test_trackers_wrote_on_this_machine(told):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    work = told[1]
    assert list((work / "wandb").glob("offline-run-*/*.wandb"))
    events = EventAccumulator(str(work / "runs" / "feature_based_experiment")).Reload()
    assert len(events.Scalars("train_loss")) == 5


def test_the_picture_is_saved(told):
    assert (told[1] / "feature_space.png").stat().st_size > 1000
