import subprocess
import sys

import pytest

from extract.backbones.catalog import _SIZES, list_backbones
from extract.backbones.registry import WELL_KNOWN


def by_name(entries):
    return {entry.name: entry for entry in entries}


def test_every_well_known_name_is_listed_with_its_size():
    assert set(_SIZES) == set(WELL_KNOWN)
    found = by_name(list_backbones())
    assert list(found) == list(WELL_KNOWN)
    assert (found["bert-base-uncased"].layers, found["bert-base-uncased"].width) == (12, 768)


def test_what_is_installed_as_a_package_or_in_the_hub_s_cache_is_here(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    found = by_name(list_backbones())
    assert found["all-MiniLM-L6-v2"].here
    assert not found["bert-base-uncased"].here
    snapshot = tmp_path / "models--google-bert--bert-base-uncased" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").touch()
    assert not by_name(list_backbones())["bert-base-uncased"].here
    (snapshot / "model.safetensors").touch()
    assert by_name(list_backbones())["bert-base-uncased"].here


@pytest.mark.parametrize(
    ("search", "name"),
    [
        ("resnet50", "timm:resnet50.a1_in1k"),
        ("clip B-32 laion2b", "open_clip:ViT-B-32/laion2b_s34b_b79k"),
        ("RoBERTa", "roberta-base"),
    ],
)
def test_a_search_finds_those_that_hold_every_word(search, name):
    found = list_backbones(search)
    assert name in by_name(found)
    assert all(word in f"{entry.name} {entry.family}".lower() for entry in found for word in search.lower().split())


def test_the_list_needs_no_torch():
    program = (
        "import sys; from extract.backbones.catalog import list_backbones; list_backbones(); print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip() == "False"


def test_a_searched_model_of_timm_has_its_size():
    entry = by_name(list_backbones("resnet50 a1_in1k"))["timm:resnet50.a1_in1k"]
    assert (entry.layers, entry.width, entry.parameters) == (5, 2048, 26)
