"""A Hugging Face cache as downloads leave it, filled with tiny checkpoints and data under the names of real ones."""

import json
import shutil
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def put_model(home: Path, name: str, folder: Path) -> None:
    """Put a checkpoint's files where the hub's client keeps a model."""
    place = home / "hub" / f"models--{name.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text(COMMIT)
    shutil.copytree(folder, place / "snapshots" / COMMIT)


def put_dataset(home: Path, name: str, parts: dict[str, dict], classes: list[str]) -> None:
    """Put a data set of texts and class labels where `datasets` keeps one that it has downloaded."""
    import datasets

    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=classes)})
    place = home / "datasets" / name / "plain_text" / "0.0.0" / COMMIT
    place.mkdir(parents=True)
    splits = {}
    for part, columns in parts.items():
        file = place / f"{name}-{part}.arrow"
        with datasets.arrow_writer.ArrowWriter(path=str(file), features=features) as writer:
            writer.write_batch({"text": columns["text"], "label": [classes.index(label) for label in columns["label"]]})
            rows, size = writer.finalize()
        splits[part] = {"name": part, "num_bytes": size, "num_examples": rows, "dataset_name": name}
    info = {
        "builder_name": "parquet",
        "config_name": "plain_text",
        "dataset_name": name,
        "features": features._to_yaml_list() and datasets.DatasetInfo(features=features).features.to_dict(),
        "splits": splits,
        "version": {"version_str": "0.0.0", "major": 0, "minor": 0, "patch": 0},
    }
    (place / "dataset_info.json").write_text(json.dumps(info))
