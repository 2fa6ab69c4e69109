"""Heads to and from a folder in the hub's form: what predicting needs of a run, and a model card.

    README.md       the model card: what it was trained on, how good it is, how to use it
    answers.json    the heads' folders and shares, and how their predictions become answers
    head/           a head (heads/saving.py); of an ensemble head-1, head-2, ...
    config.yaml     the config, without paths of the machine that it was trained on
    metrics.json    the run's outcome

A pulled folder is a run to `headstart predict`, `evaluate` and `serve`.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import yaml

from pipelines.errors import RunError, UsageError
from pipelines.run import SavedRun, read_run

_PARTS = ("answers.json", "metrics.json")
_HEAD_FILES = ("head.json", "head.safetensors", "head.skops")
HUB = "hub:"


def push(run: Path, to: str, private: bool = False) -> str:
    """Write a run's head with its model card into a folder, or to the hub (`hub:user/name`); return where it is.

    Raises
    ------
    UsageError
        If the folder holds something, or it is no run.
    RunError
        If the run cannot be read, or the hub refuses it.
    """
    read_run(run)  # what cannot be used is not passed on
    if not to.startswith(HUB):
        folder = Path(to)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"{folder}: exists already; name an empty or a new folder")
        _write(run, folder, folder.name, str(folder))
        return str(folder)
    import tempfile

    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    name = to.removeprefix(HUB)
    with tempfile.TemporaryDirectory() as place:
        _write(run, Path(place), name, to)
        try:
            api = HfApi()
            api.create_repo(name, private=private, exist_ok=True)
            return str(api.upload_folder(repo_id=name, folder_path=place, commit_message="Head trained with headstart"))
        except HFValidationError as error:
            raise UsageError(f"{to}: is no name on the hub; write hub:user/name") from error
        except HfHubHTTPError as error:
            raise RunError(f"{to}: the hub refused it: {' '.join(str(error).split())}; `hf auth login` may help") from error
        except Exception as error:  # the hub's client raises whatever its transport raises
            raise RunError(f"{to}: the hub cannot be reached: {type(error).__name__}; check the network") from error


def pull(source: str, to: Path, trust: bool = False) -> Path:
    """Fetch a pushed head from a folder or the hub (`hub:user/name[@revision]`), and see that it can be used.

    Raises
    ------
    UsageError
        If the folder exists, or there is nothing of the kind at the source.
    RunError
        If it cannot be read, or would run code that comes with it and `trust` is not given.
    """
    if to.exists():
        raise UsageError(f"{to}: exists already; name a new folder")
    from_hub = source.startswith(HUB)
    place = _fetch(source) if from_hub else Path(source)
    if not (place / "answers.json").is_file():
        raise UsageError(f"{source}: is no pushed head (it has no answers.json); `headstart push` writes one")
    if not trust:
        _refuse_code(source, read_run(place))
    try:
        _copy(place, to, place.parent.parent if from_hub else place)  # the hub's cache links to files two folders up
        _write_config(place, to)
        if (place / "README.md").is_file():
            shutil.copyfile(place / "README.md", to / "README.md")
        read_run(to)
    except BaseException:
        shutil.rmtree(to, ignore_errors=True)
        raise
    return to


def _refuse_code(source: str, saved: SavedRun) -> None:
    for member in saved.members:
        name = str(member.backbone.backbone)
        if member.backbone.trust_remote_code or name.startswith("python:"):
            raise RunError(
                f"{source}: its backbone {name} runs code that comes with it; read that code, then pull with --trust"
            )


def _fetch(source: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    name, _, revision = source.removeprefix(HUB).partition("@")
    try:
        return Path(snapshot_download(name, revision=revision or None))
    except (HFValidationError, RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise UsageError(f"{source}: the hub has no such model or revision, or not for you") from error
    except Exception as error:  # the hub's client raises whatever its transport raises
        raise RunError(
            f"{source}: the hub cannot be reached: {type(error).__name__}; check the network, or name a folder"
        ) from error


def _copy(run: Path, folder: Path, within: Path) -> None:
    """Copy what predicting needs, by name, and nothing that lies beside it; links count where they stay `within` a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in _PARTS:
        shutil.copyfile(run / name, folder / name)
    for entry in json.loads((run / "answers.json").read_text(encoding="utf-8"))["heads"]:
        head = Path(str(entry["folder"])).name
        (folder / head).mkdir(exist_ok=True)
        for name in _HEAD_FILES:
            file = run / head / name
            if file.is_file() and file.resolve().is_relative_to(within.resolve()):
                shutil.copyfile(file, folder / head / name)


def _write_config(run: Path, folder: Path) -> dict[str, Any]:
    """Write a run's config without paths of the machine it comes from, and return it."""
    content: dict[str, Any] = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    content.pop("store", None)  # the one in the working directory, as by default, and not one beside the head
    if content["data"].get("path"):
        content["data"]["path"] = Path(content["data"]["path"]).name
    (folder / "config.yaml").write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return content


def _write(run: Path, folder: Path, name: str, where: str) -> None:
    from huggingface_hub import ModelCard

    _copy(run, folder, run)
    content = _write_config(run, folder)
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    metrics["run"] = name
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    ModelCard(_card(name, where, content, metrics)).save(folder / "README.md")


def _card(name: str, where: str, config: dict[str, Any], metrics: dict[str, Any]) -> str:
    """Write the model card: metadata that the hub reads, then what a person wants to know."""
    chosen, data = metrics["selected"], config["data"].get("hub") or Path(config["data"]["path"]).name
    task = {"regression": "tabular-regression"}.get(metrics["task"], "text-classification")
    if config["data"].get("image") or not config["data"].get("text"):
        task = "image-classification" if metrics["task"] != "regression" else task
    results = [
        {"type": name, "value": round(estimate["value"], 4), "name": name.replace("_", " ")}
        for name, estimate in metrics["test"].items()
    ]
    backbones = [backbone["name"] for backbone in config["backbones"]]
    card = {
        "library_name": "headstart",
        "tags": ["headstart", "frozen-features"],
        "pipeline_tag": task,
        "model-index": [
            {"name": name, "results": [{"task": {"type": task}, "dataset": {"name": data, "type": data}, "metrics": results}]}
        ],
    }
    rows = "\n".join(
        f"| {metric} | {estimate['value']:.4f} | {estimate['low']:.4f} to {estimate['high']:.4f} |"
        for metric, estimate in metrics["test"].items()
    )
    classes = metrics["classes"]
    named = f"Classes: {', '.join(map(str, classes[:50]))}{' ...' if len(classes) > 50 else ''}.\n" if classes else ""
    return f"""---
{yaml.safe_dump(card, sort_keys=False, allow_unicode=True)}---

# {name}

A {chosen["head"]} head on features of a frozen backbone, {", ".join(f"`{backbone}`" for backbone in backbones)},
output `{chosen["output"]}`. The backbone's weights are not part of it and are fetched when it is used.

{named}
Trained on {metrics["samples"]["development"]:,} samples of {data}, chosen by validation among {metrics["trials"]:,} trials,
tested once on {metrics["samples"]["test"]:,} samples:

| metric | value | 95% interval |
|---|---:|---:|
{rows}

```bash
pip install headstart
headstart pull {where} my-head
headstart predict my-head "..."
```
"""
