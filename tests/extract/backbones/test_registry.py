import json

import pytest

from extract import BackboneError, find_backbone
from tests.conftest import save_encoder


def test_a_folder_is_identified_without_torch_by_weights_and_settings(tiny_bert):
    checkpoint = find_backbone(f"hf:{tiny_bert}")
    assert (checkpoint.uri, checkpoint.offer.layers, checkpoint.revision) == ("hf:tiny-bert", 3, None)
    assert checkpoint.weights.startswith("sha256:")
    assert find_backbone(str(tiny_bert)) == checkpoint


def test_a_changed_byte_of_weights_or_settings_changes_the_identity(tmp_path):
    folder = save_encoder(tmp_path / "model")
    before = find_backbone(f"hf:{folder}")
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    after = find_backbone(f"hf:{folder}")
    assert after.weights != before.weights
    assert after.settings == before.settings
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"hidden_act": "relu"}))
    assert find_backbone(f"hf:{folder}").settings != before.settings


def test_a_moved_folder_keeps_its_identity_but_for_its_name(tmp_path):
    folder = save_encoder(tmp_path / "model")
    before = find_backbone(f"hf:{folder}")
    (tmp_path / "elsewhere").mkdir()
    moved = folder.rename(tmp_path / "elsewhere" / "model")
    after = find_backbone(f"hf:{moved}")
    assert (after.uri, after.weights, after.settings) == (before.uri, before.weights, before.settings)


def test_the_packaged_weights_are_the_official_ones():
    checkpoint = find_backbone("all-MiniLM-L6-v2")
    assert checkpoint.uri == "st:all-MiniLM-L6-v2"
    assert checkpoint.weights == "sha256:53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    assert checkpoint.offer.layers == 6
    assert find_backbone("sentence-transformers/all-MiniLM-L6-v2") == checkpoint


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("all-MiniLM-L6-v3", "did you mean `all-MiniLM-L6-v2`"),
        ("my-own-thing", "write `hf:my-own-thing`"),
        ("hf:/no/such/folder", "there is no such folder"),
        ("hf:./no-such-folder", "there is no such folder"),
    ],
)
def test_a_name_that_means_nothing_is_told_what_to_write(uri, message):
    with pytest.raises(BackboneError, match=message):
        find_backbone(uri)


def test_a_folder_without_weights_or_configuration_says_so(tmp_path):
    with pytest.raises(BackboneError, match="no weights"):
        find_backbone(f"hf:{tmp_path}")
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(BackboneError, match=r"no config\.json"):
        find_backbone(f"hf:{tmp_path}")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(BackboneError, match="how many layers"):
        find_backbone(f"hf:{tmp_path}")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(BackboneError, match="is not JSON"):
        find_backbone(f"hf:{tmp_path}")


def test_a_folder_has_no_revision(tiny_bert):
    with pytest.raises(BackboneError, match="a folder has no revisions"):
        find_backbone(f"hf:{tiny_bert}@main")


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """A hub cache with two revisions of one model, and no network."""
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(tmp_path), raising=False)
    repository = tmp_path / "models--team--tiny"
    for commit, name in (("a" * 40, "main"), ("b" * 40, "v2")):
        (repository / "snapshots" / commit).mkdir(parents=True)
        (repository / "snapshots" / commit / "config.json").write_text(json.dumps({"num_hidden_layers": 3}))
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / name).write_text(commit)
    return tmp_path


def test_a_hub_model_in_the_local_cache_is_identified_by_its_commit_without_network(hub_cache):
    main = find_backbone("hf:team/tiny")
    assert (main.revision, main.weights, main.offer.layers) == ("a" * 40, "commit:" + "a" * 40, 3)
    assert find_backbone("hf:team/tiny@v2").revision == "b" * 40
    assert find_backbone("hf:team/tiny@" + "b" * 40).revision == "b" * 40


def test_an_unreachable_hub_is_one_clear_line(hub_cache):
    with pytest.raises(BackboneError, match=r"hf:team/other@main: the model hub cannot be reached .* name a folder") as caught:
        find_backbone("hf:team/other")
    assert "\n" not in str(caught.value)


def test_the_weights_of_a_module_in_another_format_count_too(tmp_path):
    """A sentence-transformers folder may hold safetensors at the top and an older `.bin` in a module's folder."""
    folder = save_encoder(tmp_path / "model")
    (folder / "2_Dense").mkdir()
    (folder / "2_Dense" / "pytorch_model.bin").write_bytes(b"one")
    (folder / "pytorch_model.bin").write_bytes(b"not loaded where there are safetensors")
    before = find_backbone(f"hf:{folder}")
    (folder / "pytorch_model.bin").write_bytes(b"changed")
    assert find_backbone(f"hf:{folder}") == before
    (folder / "2_Dense" / "pytorch_model.bin").write_bytes(b"two")
    assert find_backbone(f"hf:{folder}").weights != before.weights
    (folder / "vocabulary.of_some_kind").write_text("a")
    assert find_backbone(f"hf:{folder}").settings != before.settings
