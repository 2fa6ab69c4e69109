import pytest

from pipelines.config_file import load_config
from pipelines.errors import UsageError

GOOD = """\
name: reviews
data: {path: r.csv, label: label}
backbones: [all-MiniLM-L6-v2]
heads:
  - {kind: linear, C: {log: [1e-2, 1e2, 5]}}
  - {kind: mlp, hidden: [[256], [512, 64]], lr: [1e-3, 3e-4], dropout: 0.1}
"""


def load(tmp_path, text, *changes):
    (tmp_path / "c.yaml").write_text(text)
    return load_config(tmp_path / "c.yaml", changes)


def test_ten_lines_are_enough_and_every_default_is_spelt_out(tmp_path):
    config = load(tmp_path, "data: {path: r.csv, label: label}\nbackbones: [all-MiniLM-L6-v2]\n")
    assert config.name == "c"
    assert config.selection.folds == 5
    assert config.heads[0].kind == "linear"
    (tmp_path / "again.yaml").write_text(config.to_yaml())
    again = load_config(tmp_path / "again.yaml")
    assert again.model_dump(exclude={"store"}) == config.model_dump(exclude={"store"})


def test_grids_are_spread_and_lists_of_lists_are_values(tmp_path):
    linear, mlp = load(tmp_path, GOOD).heads
    assert linear.space() == {"C": [0.01, 0.1, 1.0, 10.0, 100.0]}
    assert mlp.space() == {"hidden": [[256], [512, 64]], "lr": [0.001, 0.0003], "dropout": [0.1]}


def test_paths_are_relative_to_the_file(tmp_path):
    (tmp_path / "models" / "mine").mkdir(parents=True)
    text = GOOD.replace("[all-MiniLM-L6-v2]", "[{name: 'hf:models/mine', max_length: 9}]") + "store: cache\n"
    config = load(tmp_path, text)
    assert config.data.path == str(tmp_path / "r.csv")
    assert config.backbones[0].name == f"hf:{tmp_path}/models/mine"
    assert config.store == str(tmp_path / "cache")
    assert load(tmp_path, GOOD).store == "features"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("backbones:", "backbone:", "c.yaml:3: `backbone` is not a key here; did you mean `backbones`?"),
        ("label: label", "lable: label", "c.yaml:2: `lable` is not a key here; did you mean `label`?"),
        ("label: label", "zzz: label", "c.yaml:2: `zzz` is not a key here; keys are path, hub,"),
        ("path: r.csv, ", "", "c.yaml:2: `data`: give one of `path`, `hub` and `urls`"),
        ("label: label", "label: label, group: label", "c.yaml:2: `data.group`: `label` is the label; name a column that says"),
        ("kind: linear, ", "", "c.yaml:5: `heads.0.kind` is missing"),
        ("[all-MiniLM-L6-v2]", "all-MiniLM-L6-v2", "c.yaml:3: `backbones`: input should be a valid list"),
        ("heads:", "selection: {folds: 1}\nheads:", "c.yaml:4: `selection.folds`: .* greater than or equal to 2"),
        ("heads:", "outputs: [{layer: lst}]\nheads:", "c.yaml:4: `outputs.0.layer`: .*'all' or 'last'"),
        ("heads:", "name: again\nheads:", "c.yaml:4: `name` stands here twice"),
        ("heads:", "search: {methd: random}\nheads:", "c.yaml:4: `methd` is not a key here; did you mean `method`?"),
        ("heads:", "search: {method: greed}\nheads:", "c.yaml:4: `search.method`: .*'grid', 'random', 'halving' or 'optuna'"),
        ("heads:", "search: {n_jobs: 0}\nheads:", "c.yaml:4: `search.n_jobs`: may be 1 or more, or -1"),
        ("heads:", "search: {trials: 9}\nheads:", "c.yaml:4: `search`: `trials` is nothing that `method: grid` knows"),
        (
            "heads:",
            "search: {method: random, factor: 2}\nheads:",
            "c.yaml:4: `search`: `factor` is nothing that `method: random`",
        ),
        ("heads:", "search: {method: halving, resource: max_epochs}\nheads:", "c.yaml:4: `search`: .* as `max_resources`"),
        ("heads:", "selection:\n  metric: r2\nheads:", "c.yaml:5: `selection.metric`: `r2` is no metric of classification"),
        ("label}", "label, multilabel: ';'}\ntask: regression", "c.yaml:3: `task`: `regression` takes one label column"),
        ("name: reviews", "name: ../reviews", "c.yaml:1: `name`: string should match"),
        ("}", "", "c.yaml:3: not YAML"),
    ],
)
def test_a_mistake_is_one_line_with_its_place_and_the_nearest_name(tmp_path, old, new, message):
    with pytest.raises(UsageError, match=message) as caught:
        load(tmp_path, GOOD.replace(old, new, 1))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "just text", "[1, 2]"])
def test_what_is_no_mapping_is_refused(tmp_path, text):
    with pytest.raises(UsageError, match="is no mapping of keys"):
        load(tmp_path, text)


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(UsageError, match="none.yaml: cannot be read: No such file"):
        load_config(tmp_path / "none.yaml")


def test_values_can_be_set_from_the_command_line(tmp_path):
    config = load(tmp_path, GOOD, "selection.folds=3", "backbones.0=hf:x", "heads.0.C=[1e-1, 2]", "data.test_size=0.5")
    assert config.selection.folds == 3
    assert config.backbones[0].name == "hf:x"
    assert config.heads[0].space() == {"C": [0.1, 2]}
    assert config.data.test_size == 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("selection.folds", "expected KEY=VALUE"),
        ("selecton.folds=3", "`selecton` is not a key here; did you mean `selection`?"),
        ("backbones.7=x", "no place `backbones.7`"),
        ("data.text=[", "not YAML"),
    ],
)
def test_a_wrong_change_is_one_line(tmp_path, change, message):
    with pytest.raises(UsageError, match=message):
        load(tmp_path, GOOD, change)


def test_a_head_may_be_named_by_its_kind_alone(tmp_path):
    (tmp_path / "c.yaml").write_text(
        "name: x\ndata: {path: d.csv, label: label}\nbackbones: [b]\nheads: [linear, {kind: knn, k: 3}]\n"
    )
    assert [head.kind for head in load_config(tmp_path / "c.yaml").heads] == ["linear", "knn"]
    assert load_config(tmp_path / "c.yaml", ["heads.0.C=[1, 2]"]).heads[0].space() == {"C": [1, 2]}


def test_a_folder_in_the_place_of_a_config_is_told(tmp_path):
    with pytest.raises(UsageError, match=r"is a folder; name a config's file"):
        load_config(tmp_path)
    (tmp_path / "config.yaml").write_text("name: a")
    with pytest.raises(UsageError, match=r"is a folder; name its `.*config.yaml`"):
        load_config(tmp_path)


def test_data_in_the_place_of_a_config_are_told_apart(tmp_path):
    (tmp_path / "r.csv").write_text("text,label\nit was: good,a\n")
    with pytest.raises(
        UsageError, match=r"r\.csv: is no config, and looks like data; `headstart init .*r\.csv` writes a config"
    ):
        load_config(tmp_path / "r.csv")
    (tmp_path / "r.parquet").write_bytes(b"PAR1\xff\xfe")
    with pytest.raises(UsageError, match="looks like data"):
        load_config(tmp_path / "r.parquet")


def test_what_a_change_says_is_told_with_the_change(tmp_path):
    (tmp_path / "c.yaml").write_text(GOOD)
    config = load_config(tmp_path / "c.yaml", ["data.label=lab", "heads=[liner]"])
    assert config.where("data", "label") == "--set data.label=lab"
    assert config.where("heads", 0, "kind") == "--set heads=[liner]"
    assert config.where("data", "path") == f"{tmp_path}/c.yaml:2"
