"""Finding ONNX files: a backbone's graph with its weights, and the tokenizer or image processor beside it. No torch here.

Looked at are the graph's inputs and outputs, which say what it takes and gives:

    input `input_ids`                    texts; an output `[n, t, d]` is its layer, with every pooling
    one input `[n, 3, h, w]`             images; an output `[n, d, h, w]` or `[n, t, d]` is its layer
    an output `[n, d]`                   `pooled`, for either
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache import remembered
from extract.backbones.checkpoint import Checkpoint, digest
from extract.backbones.hf_families import IMAGE_POOLINGS
from extract.errors import BackboneError, NoSuchBackboneError
from extract.outputs import OWN, POOLINGS, Offer

_PLACES = ("model.onnx", "onnx/model.onnx")
_BESIDE = ("tokenizer.json", "tokenizer_config.json", "preprocessor_config.json", "config.json")
_SETTINGS = {".json", ".txt", ".model", ".bpe"}
_STATES = ("last_hidden_state", "token_embeddings")
_POOLED = ("sentence_embedding", "pooler_output", "image_embeds", "text_embeds", "pooled")
_IDS = "input_ids"


@dataclass(frozen=True)
class Graph:
    """What a graph takes and gives.

    Attributes
    ----------
    inputs
        Name -> element type (ONNX's number) and shape, with None where a dimension is free.
    outputs
        Name -> shape.
    external
        Files beside it that hold weights.
    """

    inputs: Mapping[str, tuple[int, tuple[int | None, ...]]]
    outputs: Mapping[str, tuple[int | None, ...]]
    external: tuple[str, ...]

    @property
    def takes(self) -> str | None:
        """`text`, `image`, or None if it takes something else."""
        if _IDS in self.inputs:
            return "text"
        return "image" if len(self.inputs) == 1 and len(next(iter(self.inputs.values()))[1]) == 4 else None

    @property
    def states(self) -> str | None:
        """The output that is a layer: token states, or a map."""
        return self._of_rank((3,) if self.takes == "text" else (4, 3), _STATES)

    @property
    def pooled(self) -> str | None:
        """The output that is one vector a sample."""
        return self._of_rank((2,), _POOLED)

    def _of_rank(self, ranks: Sequence[int], preferred: Sequence[str]) -> str | None:
        names = [name for rank in ranks for name, shape in self.outputs.items() if len(shape) == rank]
        return next((name for name in preferred if name in names), names[0] if names else None)


def find_onnx(name: str, revision: str | None) -> Checkpoint:
    """Find an ONNX file, `/models/mine.onnx`, or a folder that holds one as `model.onnx` or `onnx/model.onnx`.

    Raises
    ------
    BackboneError
        If there is none, it cannot be read, or it takes and gives nothing that is known here.
    """
    place = f"onnx:{name}"
    if revision is not None:
        raise NoSuchBackboneError(f"{place}@{revision}: a file has no revisions; leave out @{revision}")
    given = Path(os.path.abspath(Path(name).expanduser()))  # links stay: what goes with a file is beside the link
    files = [given, *(given / part for part in _PLACES)]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        what = f"this folder has no {' or '.join(_PLACES)}" if given.is_dir() else "there is no such file or folder"
        raise NoSuchBackboneError(f"{place}: {what}")
    graph = read_graph(file, place)
    allowed = file.parent.resolve(), file.resolve().parent
    for part in graph.external:
        whole = (file.parent / part).resolve()
        if not whole.is_file() or not any(whole.is_relative_to(folder) for folder in allowed):
            raise BackboneError(f"{place}: its weights are in {part}, which is not beside it")
    base = home_of(file)
    beside = [] if base is None else [path for path in sorted(base.iterdir()) if path.suffix in _SETTINGS]
    weights = digest(file.parent, [file, *(file.parent / part for part in graph.external)])
    title = f"{(base or file.parent).name}/{file.name}"
    return Checkpoint("onnx", title, str(file), None, weights, digest(base, beside) if base else "none", _offer(graph, place))


def read_graph(file: Path, place: str) -> Graph:
    """Read what a graph takes and gives, remembered until the file changes.

    Raises
    ------
    BackboneError
        If it cannot be read.
    """
    told = json.loads(remembered(file, "onnx graph", lambda path: json.dumps(_read(path, place))))
    inputs = {name: (kind, tuple(shape)) for name, (kind, shape) in told["inputs"].items()}
    return Graph(inputs, {name: tuple(shape) for name, shape in told["outputs"].items()}, tuple(told["external"]))


def home_of(file: Path) -> Path | None:
    """Return the folder with the settings that go with a file, the file's own or the one above; None if neither has any."""
    folders = (file.parent, file.parent.parent)
    return next((folder for folder in folders if any((folder / name).is_file() for name in _BESIDE)), None)


def _read(file: Path, place: str) -> dict[str, Any]:
    try:
        import onnx
        from onnx.external_data_helper import _get_all_tensors, uses_external_data
    except ImportError as error:
        raise BackboneError(f"{place}: {error.name} is not installed; `pip install headstart[onnx]`") from error
    try:
        model = onnx.load(str(file), load_external_data=False)
        stored = {tensor.name for tensor in model.graph.initializer}
        external = {
            entry.value
            for tensor in _get_all_tensors(model)
            if uses_external_data(tensor)
            for entry in tensor.external_data
            if entry.key == "location"
        }
    except Exception as error:  # protobuf's errors have no common kind
        raise BackboneError(f"{place}: is no ONNX file: {(str(error).splitlines() or [''])[0]}") from error
    inputs = [value for value in model.graph.input if value.name not in stored]
    return {
        "inputs": {value.name: (value.type.tensor_type.elem_type, _shape(value)) for value in inputs},
        "outputs": {value.name: _shape(value) for value in model.graph.output},
        "external": sorted(external),
    }


def _shape(value: Any) -> list[int | None]:
    return [dim.dim_value if dim.HasField("dim_value") else None for dim in value.type.tensor_type.shape.dim]


def _offer(graph: Graph, place: str) -> Offer:
    """Read the outputs out of a graph's."""
    takes = graph.takes
    if takes is None:
        raise BackboneError(
            f"{place}: takes {', '.join(graph.inputs)}; expected `input_ids`, or one batch of images [n, 3, h, w]"
        )
    own = (OWN,) if graph.pooled else ()
    if graph.states is None and not own:
        shapes = ", ".join(f"{name} {list(shape)}" for name, shape in graph.outputs.items())
        raise BackboneError(f"{place}: gives {shapes}; expected token states [n, t, d], a map [n, d, h, w] or vectors [n, d]")
    if graph.states is None:
        return Offer(0, OWN, own, (), takes=takes, family=takes)
    if takes == "text":
        return Offer(1, OWN if graph.pooled == "sentence_embedding" else "mean", own, POOLINGS, 1, takes, takes)
    poolings = [name for name in IMAGE_POOLINGS if name != "cls" or len(graph.outputs[graph.states]) == 3]
    return Offer(1, OWN if own else "mean", own, poolings, 1, takes, takes)
