"""Training from a boundary on is training with the whole model in the loop, in fewer steps."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cache import FeatureStore
from cache.budget import Budget
from cache.rows import StoredRows
from pipelines import FeatureBasedModel, FeatureBasedTrainer
from pipelines.models.boundary_cache import boundary_of, shelf_of
from pipelines.models.labelled import read_labelled
from pipelines.models.settling import settle_scaling
from tests.conftest import save_encoder, sentences
from tests.extract.backbones.checkpoints import save_clip, save_hf_images, save_open_clip, save_timm
from tests.extract.backbones.test_sentence import save_sentence_model
from tests.images import write_image_folder
from tests.pipelines.tiny_models import make_model

TEXTS = [(text, ("even", "odd")[number % 2]) for number, text in enumerate(sentences(48))]
TRAIN, EVALUATION = TEXTS[:32], TEXTS[32:]


def train(model, layers, *data, **settings):
    """Train parts of a backbone for two epochs; return the trainer, and what it said."""
    lines = []
    trainer = FeatureBasedTrainer(model, *data, say=lines.append, learning_rate=1e-2, batch_size=8, **settings)
    trainer.unfreeze_layers(layers)
    torch.manual_seed(1)
    trainer.train(2, learning_rate=1e-3)
    return trainer, lines


def train_both_ways(make, layers, *data):
    """Train the same model from a boundary on and in the loop; see that both learn the same; return what was said."""
    models = [make(), make()]
    models[1].classifier.load_state_dict(models[0].classifier.state_dict())
    cached, lines = train(models[0], layers, *data)
    looped, told = train(models[1], layers, *data, cache_boundary=False)
    assert any("training with the whole model in the loop" in line for line in told), told
    np.testing.assert_allclose(cached.history.train_loss, looped.history.train_loss, rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(cached.history.validation_loss, looped.history.validation_loss, rtol=2e-4, atol=2e-5)
    assert cached.history.train_loss[0] != pytest.approx(cached.history.train_loss[1], rel=1e-3)
    return lines


def assert_split(lines, at):
    assert any(f"up to `{at}` the backbone stays frozen: training what is above" in line for line in lines), lines


@pytest.mark.parametrize(
    ("family", "at"),
    [
        ("bert", "encoder.layer.1"),
        ("roberta", "encoder.layer.1"),
        ("distilbert", "transformer.layer.1"),
        ("electra", "encoder.layer.1"),
        ("deberta-v2", "encoder.layer.1"),
        ("mpnet", "encoder.layer.1"),
        ("modernbert", "layers.1"),
        ("bart", "layers.1"),
        ("gpt2", "h.1"),
        ("llama", "layers.1"),
    ],
)
def test_texts_of_any_length_train_as_with_the_whole_model(family, at, tmp_path):
    folder = save_encoder(tmp_path / family, family)
    assert_split(train_both_ways(lambda: make_model(folder, tmp_path), [-1], TRAIN, EVALUATION), at)


def test_a_backbone_whose_blocks_hand_more_on_than_states_is_trained_whole(tmp_path):
    folder = save_encoder(tmp_path / "t5", "t5")  # its first block makes the positions' bias of all
    lines = train_both_ways(lambda: make_model(folder, tmp_path), [-1], TRAIN, EVALUATION)
    assert any("whole model in the loop (not split: it gives something else when" in line for line in lines), lines


def test_a_model_of_sentence_transformers_goes_through_its_own_last_modules(tmp_path):
    folder = save_sentence_model(tmp_path / "model", tmp_path, dense=True)

    def make():
        return FeatureBasedModel.from_pretrained(f"st:{folder}", store=str(tmp_path / "features"), device="cpu")

    assert_split(train_both_ways(make, ["layer.2"], TRAIN, EVALUATION), "encoder.layer.1")


@pytest.mark.parametrize("output", ["layer3.cls", "layer2.mean", "max", "tokens"])
def test_any_output_may_be_trained(tiny_bert, tmp_path, output):
    classifier = "attention" if output == "tokens" else "linear"
    lines = train_both_ways(
        lambda: make_model(tiny_bert, tmp_path, output=output, classifier=classifier), [1], TRAIN, EVALUATION
    )
    assert_split(lines, "encoder.layer.0")


IMAGES = {
    "timm resnet": (lambda folder: f"timm:{save_timm(folder, 'resnet')}", "layer3"),
    "timm efficientnet": (lambda folder: f"timm:{save_timm(folder, 'efficientnet')}", "blocks.5"),
    "timm vit": (lambda folder: f"timm:{save_timm(folder, 'vit')}", "blocks.1"),
    "timm vit with registers": (lambda folder: f"timm:{save_timm(folder, 'vit with registers')}", "blocks.1"),
    "timm swin": (lambda folder: f"timm:{save_timm(folder, 'swin')}", "layers.2"),
    "timm convnext": (lambda folder: f"timm:{save_timm(folder, 'convnext')}", "stages.2"),
    "hf vit": (lambda folder: f"hf:{save_hf_images(folder, 'vit')}", "layers.1"),
    "hf dinov2": (lambda folder: f"hf:{save_hf_images(folder, 'dinov2')}", "encoder.layer.1"),
    "hf resnet": (lambda folder: f"hf:{save_hf_images(folder, 'resnet')}", "encoder.stages.2"),
    "hf clip": (lambda folder: f"hf:{save_clip(folder)}", "layers.1"),
    "hf siglip": (lambda folder: f"hf:{save_clip(folder, 'siglip')}", "layers.1"),
    "open_clip": (lambda folder: f"open_clip:{save_open_clip(folder)}", "transformer.resblocks.1"),
}


@pytest.mark.parametrize("family", list(IMAGES))
def test_images_train_as_with_the_whole_model_and_are_decoded_once(family, tmp_path, monkeypatch):
    save, at = IMAGES[family]
    data, name = write_image_folder(tmp_path / "pictures", 12), save(tmp_path / "model")

    def make():
        return FeatureBasedModel.from_pretrained(
            name, task="image_classification", store=str(tmp_path / "features"), device="cpu"
        )

    lines = train_both_ways(make, [-1], data, data)
    assert any(line.split("`")[1].endswith(at) for line in lines if "training what is above" in line), lines
    model = make()
    adapter = model.backbone.adapter
    trainer = FeatureBasedTrainer(model, data, data, say=None, batch_size=8)
    settle_scaling(model, trainer.train_data, 8)
    trainer.unfreeze_layers([-1])
    boundary = boundary_of(model, trainer.train_data)
    assert not boundary.needs_inputs
    monkeypatch.setattr(adapter, "decode", None)
    assert len(shelf_of(model, boundary, 8).keep(trainer.train_data).rows) == 12


@pytest.mark.parametrize("save", [save_clip, save_open_clip])
def test_text_towers_train_as_with_the_whole_model(save, tmp_path):
    folder = save(tmp_path / "model")
    scheme = "hf" if save is save_clip else "open_clip"
    short = [(text[:40], label) for text, label in TEXTS]

    def make():
        return FeatureBasedModel.from_pretrained(
            f"{scheme}:{folder}", task="text_classification", store=str(tmp_path / "features"), device="cpu"
        )

    lines = train_both_ways(make, [-1], short[:32], short[32:])
    assert any("training what is above" in line for line in lines), lines


class Blocks(nn.Module):
    """A module of one's own: tensors in, features out, and a look back at the input after the blocks."""

    def __init__(self, looks_back=False):
        super().__init__()
        self.stem = nn.Linear(6, 12)
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(12, 12), nn.Dropout(0.0), nn.Tanh()) for _ in range(3)])
        self.looks_back = looks_back

    def forward(self, signal, gain=None):
        states = self.stem(signal)
        for block in self.blocks:
            states = states + block(states) if self.looks_back else block(states)
        return states if gain is None else states * gain


TENSORS = torch.randn(48, 6, generator=torch.Generator().manual_seed(0))
PLAIN = {
    "a sequence": lambda: nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 12), nn.Tanh(), nn.Linear(12, 4)),
    "convolutions": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 4, 3), nn.BatchNorm1d(4), nn.Conv1d(4, 4, 3), nn.Flatten()
    ),
    "blocks": Blocks,
    "double precision": lambda: Blocks().double(),
}


@pytest.mark.parametrize("kind", PLAIN)
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_plain_modules_train_as_with_the_whole_model(kind, task):
    dtype = torch.float64 if kind == "double precision" else torch.float32
    X = TENSORS.to(dtype)
    y = (X[:, 0] > 0).long().tolist() if task == "classification" else X[:, 0].tolist()
    outputs = 2 if task == "classification" else 1

    def make():
        torch.manual_seed(0)
        backbone = PLAIN[kind]()
        width = backbone.eval()(X[:2]).shape[1]
        return FeatureBasedModel(backbone, nn.Linear(width, outputs, dtype=dtype), task=task)

    lines = train_both_ways(make, [-1], (X[:32], y[:32]), (X[32:], y[32:]))
    assert any("the backbone stays frozen: training what is above" in line for line in lines), lines
    assert any("computed once, and kept in memory (48 of 48 samples, " in line for line in lines), lines


def test_a_plain_module_that_looks_at_its_input_above_the_boundary_is_given_it():
    inputs = [{"signal": row, "gain": row[:1]} for row in TENSORS]
    data = (inputs, (TENSORS[:, 0] > 0).long().tolist())

    def make():
        torch.manual_seed(0)
        return FeatureBasedModel(Blocks(), nn.Linear(12, 2))

    lines = train_both_ways(make, [-1], data, data)
    assert any("training what is above" in line for line in lines), lines


@pytest.mark.parametrize(
    ("backbone", "why"),
    [
        (lambda: Blocks(looks_back=True), "it gives something else when what `blocks.1` gives is handed in"),
        (lambda: nn.Linear(6, 12), "it has no blocks that follow on one another"),
    ],
)
def test_a_plain_module_that_cannot_be_split_runs_whole_and_says_why(backbone, why):
    model = FeatureBasedModel(backbone(), nn.Linear(12, 2))
    layers = [-1] if isinstance(model.backbone, Blocks) else ["weight"]
    lines = train(model, layers, (TENSORS, (TENSORS[:, 0] > 0).long()))[1]
    assert any(f"the whole model in the loop (not split: {why}" in line for line in lines), lines


def test_states_that_memory_has_no_room_for_are_not_kept_of_a_plain_module(monkeypatch):
    monkeypatch.setattr("pipelines.models.boundary_cache.free_memory", lambda: 4000)
    lines = train(FeatureBasedModel(Blocks(), nn.Linear(12, 2)), [-1], (TENSORS, (TENSORS[:, 0] > 0).long()))[1]
    assert any("it takes 2,304 bytes, and 1,000 of memory may be filled with it" in line for line in lines), lines


def test_states_are_computed_once_and_anew_only_when_what_is_below_has_changed(tiny_bert, tmp_path):
    def told(model, layers):
        return [line for line in train(model, layers, TRAIN, EVALUATION)[1] if "computed once, into" in line]

    assert "(48 of 48 samples" in told(make_model(tiny_bert, tmp_path), [-1])[0]
    again = make_model(tiny_bert, tmp_path)
    assert not told(again, [-1])
    assert not told(again, [-1])  # only the block above has learnt
    changed = make_model(tiny_bert, tmp_path)
    with torch.no_grad():
        changed.backbone.get_submodule("model.encoder.layer.0.output.dense").weight += 0.1
    assert "(48 of 48 samples" in told(changed, [-1])[0]
    assert "`encoder.layer.0`" in told(make_model(tiny_bert, tmp_path), [-2])[0]


def test_where_the_boundary_is_and_what_is_kept_is_said_once_a_phase(tiny_bert, tmp_path):
    begin = "up to `encoder.layer.1` the backbone stays frozen: training what is above, on what it gives there, "
    trainer, first = train(make_model(tiny_bert, tmp_path), [-1], TRAIN, EVALUATION)
    (line,) = (line for line in first if "stays frozen" in line)
    assert line.startswith(f"{begin}computed once, into the store `{tmp_path / 'features'}` (48 of 48 samples, ")
    trainer.say = (again := []).append
    trainer.train(1)
    assert again[0] == f"{begin}kept for all 48 samples already"
    assert not any("stays frozen" in line for line in again[1:])


def test_a_boundary_that_was_broken_off_goes_on(tiny_bert, tmp_path, monkeypatch):
    monkeypatch.setattr("extract.loop.FIRST_SLICE", 8)
    model = make_model(tiny_bert, tmp_path)
    trainer = FeatureBasedTrainer(model, TRAIN, say=None)
    trainer.unfreeze_layers([-1])
    shelf = shelf_of(model, boundary_of(model, trainer.train_data), 8)
    whole = shelf.need([trainer.train_data])
    assert (whole.samples, whole.of) == (32, 32)

    class Stop:
        def start(self, title, cached, missing, copies=0):
            pass

        def advance(self, samples, share):
            raise KeyboardInterrupt

        def wait(self, samples):
            pass

        def finish(self):
            pass

    with pytest.raises(KeyboardInterrupt):
        shelf_of(model, shelf.boundary, 8, Stop()).keep(trainer.train_data)
    rest = shelf.need([trainer.train_data])
    assert 0 < rest.samples < 32
    assert 0 < rest.bytes < whole.bytes
    assert len(shelf.keep(trainer.train_data).rows) == 32
    assert shelf.need([trainer.train_data]).bytes == 0


def test_the_room_that_is_told_is_the_room_that_is_taken(tiny_bert, tmp_path):
    model = make_model(tiny_bert, tmp_path)
    trainer = FeatureBasedTrainer(model, TRAIN, say=None)
    trainer.unfreeze_layers([-1])
    shelf = shelf_of(model, boundary_of(model, trainer.train_data), 8)
    need = shelf.need([trainer.train_data])
    kept = shelf.keep(trainer.train_data)
    assert need.bytes == kept.values.values.nbytes
    assert (np.diff(kept.values.offsets) == [len(item["input_ids"]) for item in kept.items]).all()


def test_what_does_not_fit_is_told_and_the_whole_model_runs(tiny_bert, tmp_path, monkeypatch):
    limited = make_model(tiny_bert, tmp_path)
    limited.store = FeatureStore(tmp_path / "limited", Budget(60_000))
    lines = train(limited, [-1], TRAIN)[1]
    assert any("whole model in the loop (what is frozen is not kept: it takes" in line for line in lines), lines
    assert any("would pass the store's limit of 60,000" in line for line in lines)
    full = shutil._ntuple_diskusage(10**9, 10**9 - 1000, 1000)
    monkeypatch.setattr("pipelines.models.boundary_cache.shutil.disk_usage", lambda place: full)
    lines = train(make_model(tiny_bert, tmp_path), [-1], TRAIN)[1]
    assert any("has 0 to spare" in line for line in lines), lines


def test_states_that_memory_has_no_room_for_are_read_from_the_disk(tiny_bert, tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.models.boundary_cache.free_memory", lambda: 0)
    train_both_ways(lambda: make_model(tiny_bert, tmp_path), [-1], TRAIN, EVALUATION)
    model = make_model(tiny_bert, tmp_path)
    model.unfreeze([-1])
    data = read_labelled(TRAIN)
    assert isinstance(shelf_of(model, boundary_of(model, data), 8).keep(data).values, StoredRows)


def test_a_training_that_reaches_the_lowest_block_runs_the_whole_model(tiny_bert, tmp_path):
    lines = train(make_model(tiny_bert, tmp_path), [0, 1, 2], TRAIN)[1]
    assert any("(not split: something learns in or below its lowest block" in line for line in lines), lines
    lines = train(make_model(tiny_bert, tmp_path), [2, "embeddings.word_embeddings"], TRAIN)[1]
    assert any("(not split: something learns in or below its lowest block" in line for line in lines), lines


def test_samples_that_cannot_be_used_are_left_out_in_both_ways(tiny_bert, tmp_path):
    lines = train(make_model(tiny_bert, tmp_path), [-1], [*TRAIN, ("", "odd")])[1]
    assert any("1 of 33 samples cannot be used, the first at 32" in line for line in lines), lines
    assert Path(tmp_path / "features").is_dir()
