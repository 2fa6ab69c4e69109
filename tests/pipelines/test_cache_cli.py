"""`headstart cache` and the store's limits, as a person or a script uses them."""

import json

import pytest

from pipelines.cli import main
from tests.conftest import sentences, write_reviews


def shards(project):
    return sorted(project.glob("features/recipes/*/shards/*.h5"))


def grow(project, count, seed):
    with open(project / "reviews.csv", "a") as file:
        file.writelines(f"{text} more {seed},good,long,train\n" for text in sentences(count, seed))


@pytest.fixture
def filled(headstart, project):
    headstart("extract", "config.yaml")
    grow(project, 30, 1)
    headstart("extract", "config.yaml")
    return project


def test_ls_and_show_say_what_is_there_and_what_refers_to_it(headstart, filled):
    listed = headstart.json("cache", "ls")
    (recipe,) = listed["recipes"]
    assert recipe.keys() >= {"id", "backbone", "rows", "shards", "bytes"}
    assert (recipe["rows"], recipe["shards"], recipe["bytes"]) == (150, 2, sum(path.stat().st_size for path in shards(filled)))
    assert sorted((table["rows"], table["state"]) for table in listed["tables"]) == [(120, "changed"), (150, "current")]
    shown = headstart.json("cache", "show", recipe["id"][:8])
    assert sorted(table["rows"] for table in shown["tables"]) == [120, 150]
    (filled / "reviews.csv").unlink()
    assert {table["state"] for table in headstart.json("cache", "ls")["tables"]} == {"gone"}
    assert "hf:tiny-bert" in headstart("cache", "ls").out


def test_recipes_of_one_backbone_are_told_apart(project, capsys):
    for change in ([], ["--set", "backbones.0.max_length=8"], ["--set", "backbones.0.prompt='so: '"]):
        assert main(["extract", "config.yaml", *change]) == 0
    capsys.readouterr()
    assert main(["cache", "ls", "--json"]) == 0
    told = [recipe["differs"] for recipe in json.loads(capsys.readouterr().out)["recipes"]]
    expected = [{"max_length": None, "prompt": None}, {"max_length": 8, "prompt": None}, {"max_length": None, "prompt": "so: "}]
    assert sorted(map(str, told)) == sorted(map(str, expected))
    assert main(["cache", "ls"]) == 0
    shown = capsys.readouterr().out
    assert "max_length 8" in shown
    assert "prompt 'so: '" in shown


def test_what_frozen_blocks_gave_is_listed_and_dropped_by_recipe_or_altogether(project, headstart):
    phases = "unfreeze.phases=[{epochs: 1}, {top: 1, epochs: 1}, {top: 2, epochs: 1}]"
    headstart("unfreeze", "config.yaml", "--run", "run", "--set", phases)
    features = {recipe["id"] for recipe in listed(headstart) if recipe["boundary"] is None}
    high, low = sorted(
        (recipe for recipe in listed(headstart) if recipe["boundary"]), key=lambda r: r["boundary"], reverse=True
    )
    assert (high["boundary"], low["boundary"]) == ("model.encoder.layer.1", "model.encoder.layer.0")
    assert high["bytes"] > 0
    assert headstart.json("cache", "show", high["id"])["recipe"]["preprocessing"]["boundary"] == high["boundary"]
    told = headstart.json("cache", "gc", "--drop-recipe", high["id"], "--yes")
    assert told["freed_bytes"] == high["bytes"]
    told = headstart.json("cache", "gc", "--drop-boundaries")
    assert (told["freed_bytes"], told["dry_run"]) == (low["bytes"], True)
    assert headstart.json("cache", "gc", "--drop-boundaries", "--yes")["freed_bytes"] == low["bytes"]
    assert {recipe["id"] for recipe in listed(headstart)} == features
    assert "computed once, into the store" in " ".join(headstart("unfreeze", "config.yaml", "--set", phases).err.split())


def listed(headstart):
    return headstart.json("cache", "ls")["recipes"]


def test_verify_names_damage_once_and_the_rows_are_extracted_again(headstart, filled):
    assert headstart.json("cache", "verify") == {"shards": 2, "damaged": [], "quarantined": 0}
    path = shards(filled)[0]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    found = headstart.json("cache", "verify", status=1)
    assert [entry["file"].rpartition("/")[2] for entry in found["damaged"]] == [path.name]
    assert "checksum" in found["damaged"][0]["reason"]
    assert headstart.json("cache", "verify") == {"shards": 1, "damaged": [], "quarantined": 1}
    recipe = headstart.json("extract", "config.yaml")["recipes"][0]
    assert recipe["extracted"] in (30, 120)
    assert headstart.json("cache", "verify")["shards"] == 2


def test_damage_that_an_extraction_comes_upon_is_told_in_one_line_and_mended(headstart, filled):
    shards(filled)[1].write_bytes(b"")
    done = headstart("extract", "config.yaml", "--json")
    assert json.loads(done.out)["recipes"][0]["extracted"] in (30, 120)
    assert "damaged shard" in done.err
    assert "Traceback" not in done.err


def test_gc_tells_first_and_removes_what_no_table_wants_on_request(headstart, filled):
    run = headstart.json("train", "config.yaml")["run"]
    headstart("predict", run, "good great loved")
    told = headstart.json("cache", "gc")
    assert told["dry_run"] is True
    assert (told["removed_shards"], len(shards(filled))) == (1, 3)
    done = headstart.json("cache", "gc", "--yes")
    assert (done["removed_shards"], done["freed_bytes"], done["dry_run"]) == (1, told["freed_bytes"], False)
    assert len(shards(filled)) == 2
    assert headstart.json("extract", "config.yaml")["recipes"][0]["extracted"] == 0
    for table in headstart.json("cache", "ls")["tables"]:
        headstart("cache", "gc", "--yes", "--drop-table", table["file"])
    assert headstart.json("cache", "ls") == {"recipes": [], "tables": []}


def test_a_name_that_nothing_in_the_store_has_is_wrong_usage_and_the_nearest_is_told(headstart, filled):
    listed = headstart.json("cache", "ls")
    recipe, table = listed["recipes"][0]["id"], listed["tables"][0]["file"]
    wrong = f"{recipe[:6]}{'0' if recipe[6] != '0' else '1'}"
    for arguments in (["show", wrong], ["compact", "--recipe", wrong], ["gc", "--drop-recipe", wrong]):
        told = headstart("cache", *arguments, status=2).err
        assert f"features: 0 recipes begin with `{wrong}`; did you mean `{recipe}`?" in told
    assert f"did you mean `{table}`?" in headstart("cache", "gc", "--drop-table", f"{table}.csv", status=2).err
    assert "0 recipes begin with `zz`; `headstart cache ls` lists them" in headstart("cache", "show", "zz", status=2).err


def test_compact_joins_shards_and_nothing_is_extracted_again(headstart, filled):
    told = headstart.json("cache", "compact", "--dry-run")
    assert [(r["shards_before"], r["shards_after"]) for r in told["recipes"]] == [(2, 1)]
    assert len(shards(filled)) == 2
    headstart("cache", "compact")
    assert len(shards(filled)) == 1
    assert headstart.json("extract", "config.yaml")["recipes"][0]["cached"] == 150


def test_features_travel_by_export_and_import(headstart, filled):
    out = headstart.json("cache", "export", "cold.tar.gz")
    assert (out["shards"], out["tables"]) == (2, 2)
    came = headstart.json("cache", "import", "cold.tar.gz", "--store", "elsewhere")
    assert (came["shards"], came["refused"]) == (2, [])
    assert headstart.json("extract", "config.yaml", "--store", "elsewhere")["recipes"][0]["cached"] == 150
    failed = headstart("cache", "import", "nowhere.tar", status=2)
    assert "nowhere.tar: there is no such store or archive" in failed.err


def test_a_store_s_size_is_limited_on_request(headstart, filled):
    held = headstart.json("cache", "ls")["recipes"][0]["bytes"]
    grow(filled, 40, 2)
    failed = headstart("extract", "config.yaml", "--max-size", str(held), status=1)
    assert "raise --max-size" in failed.err
    assert len(failed.err.strip().splitlines()[-1].split("error:")) == 2
    assert "is not a size" in headstart("extract", "config.yaml", "--max-size", "big", status=2).err
    headstart("extract", "config.yaml", "--set", "backbones.0={name: " + _backbone(filled) + ", max_length: 9}")
    assert len(headstart.json("cache", "ls")["recipes"]) == 2
    total = sum(recipe["bytes"] for recipe in headstart.json("cache", "ls")["recipes"])
    write_reviews(filled / "reviews.csv", 300, seed=5)
    extracted = headstart.json("extract", "config.yaml", "--max-size", str(total + 30_000), "--evict")["recipes"][0]
    assert extracted["cached"] + extracted["extracted"] == 300
    assert [recipe["id"] for recipe in headstart.json("cache", "ls")["recipes"]] == [extracted["id"]]


def _backbone(project):
    import yaml

    return yaml.safe_load((project / "config.yaml").read_text())["backbones"][0]


@pytest.mark.parametrize("command", ["ls", "verify", "gc", "compact"])
def test_a_store_that_is_not_there_is_a_mistake(headstart, command):
    assert "there is no such store" in headstart("cache", command, "--store", "nowhere", status=2).err


def test_the_default_store_holds_nothing_before_anything_is_extracted(headstart):
    assert headstart.json("cache", "ls") == {"recipes": [], "tables": []}
