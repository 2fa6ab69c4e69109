"""ONNX files through onnxruntime: texts and images (`onnx:`). Needs `headstart[onnx]`."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import pad

from extract.backbones.base import Backbone, Batch, Prepared
from extract.backbones.checkpoint import Checkpoint
from extract.backbones.families import read_json
from extract.backbones.find_onnx import Graph, home_of, read_graph
from extract.backbones.hf_vision import ProcessorTransform, with_settings
from extract.backbones.loading import loading
from extract.backbones.spec import BackboneSpec
from extract.backbones.text import NO_LIMIT, checked_length, load_tokenizer
from extract.backbones.tokens import PLACES, REAL, Cutting, make_cutting
from extract.backbones.vision import DecodeImage, Layer, Seen, fetch, pick
from extract.devices import count_processors
from extract.errors import BackboneError
from extract.outputs import Output
from extract.pooling import Tokens

_PROVIDERS = {"cuda": "CUDAExecutionProvider", "mps": "CoreMLExecutionProvider"}
_TYPES = {1: np.float32, 6: np.int32, 7: np.int64, 9: np.bool_, 10: np.float16}  # ONNX's numbers of element types


class Session:
    """A graph that is ready to run on a device.

    Parameters
    ----------
    file
        The ONNX file.
    graph
        What it takes and gives.
    device
        Where it runs: on CUDA if this onnxruntime can, else on the CPU.
    """

    def __init__(self, file: Path, graph: Graph, device: str) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise BackboneError("onnxruntime is not installed; `pip install headstart[onnx]`") from error
        kind, _, number = device.partition(":")
        provider = _PROVIDERS.get(kind)
        if kind == "cuda" and provider not in onnxruntime.get_available_providers():
            raise BackboneError("this onnxruntime has no CUDA; `pip install onnxruntime-gpu`, or set `device: cpu`")
        first: list[Any] = [(provider, {"device_id": int(number or 0)} if kind == "cuda" else {})] if provider else []
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = min(torch.get_num_threads(), count_processors())
        settings.log_severity_level = 3
        self._run = onnxruntime.InferenceSession(str(file), settings, providers=[*first, "CPUExecutionProvider"]).run
        self.graph = graph
        self.device = device

    def __call__(self, inputs: Mapping[str, torch.Tensor], outputs: Collection[str]) -> dict[str, torch.Tensor]:
        """Run tensors `[b, ...]` through the graph; give the outputs named, on the device.

        A graph for so many samples and no others is given so many at a time, the last ones filled up with the first.
        """
        names, fixed = list(outputs), next(iter(self.graph.inputs.values()))[1][0]
        given = {name: self._array(name, tensor) for name, tensor in inputs.items()}
        count = len(next(iter(given.values())))
        if fixed is None:
            found = self._run(names, given)
        else:
            parts = []
            for start in range(0, count, fixed):
                rows = np.arange(start, start + fixed)
                rows[rows >= count] = 0
                parts.append(self._run(names, {name: array[rows] for name, array in given.items()}))
            found = [np.concatenate(part)[:count] for part in zip(*parts, strict=True)]
        return {name: torch.from_numpy(array).to(self.device) for name, array in zip(names, found, strict=True)}

    def _array(self, name: str, tensor: torch.Tensor) -> np.ndarray:
        kind = self.graph.inputs[name][0]
        return np.ascontiguousarray(tensor.cpu().numpy().astype(_TYPES.get(kind, np.float32), copy=False))


class OnnxTexts(Backbone):
    """A graph over tokens: layer 1 is its token states, `pooled` its vector of a text.

    Parameters
    ----------
    session
        The graph.
    texts
        Turns texts into its tokens.
    """

    def __init__(self, session: Session, texts: Cutting) -> None:
        self.session = session
        self.texts = texts
        self._length = session.graph.inputs["input_ids"][1][1]

    @classmethod
    def load(cls, checkpoint: Checkpoint, spec: BackboneSpec, device: str, precision: str) -> "OnnxTexts":
        file = Path(checkpoint.location)
        graph, home = read_graph(file, checkpoint.uri), home_of(file)
        with loading(checkpoint):
            if home is None and spec.tokenizer is None:
                raise BackboneError(f"no tokenizer beside {file.name}; put its files there, or name one as `tokenizer`")
            if unknown := graph.inputs.keys() - {"input_ids", "attention_mask", "token_type_ids", "position_ids"}:
                raise BackboneError(f"its input `{min(unknown)}` is not known here")
            tokenizer = load_tokenizer(home, None, spec)
            session = Session(file, graph, device)
        limit, own = _limits(home, tokenizer, graph)
        length = own if spec.max_length is None and own else checked_length(spec, limit, checkpoint)
        padding = 0 if tokenizer.pad_token_id is None else int(tokenizer.pad_token_id)
        return cls(session, make_cutting(tokenizer, length, spec.prompt or "", padding, spec, checkpoint))

    def weigh(self, samples: Sequence[Any]) -> np.ndarray:
        return self.texts.weigh(samples)

    def prepare(self, samples: Sequence[Any]) -> Prepared:
        return self.texts.prepare(samples)

    def collate(self, items: Sequence[Any]) -> Batch:
        batch = self.texts.collate(items)
        ids = batch["input_ids"]
        batch.setdefault("token_type_ids", torch.zeros_like(ids))
        batch["position_ids"] = torch.arange(ids.shape[1]).expand_as(ids)
        return batch

    def forward(self, batch: Batch, outputs: Sequence[Output]) -> Mapping[str, torch.Tensor | Tokens]:
        graph = self.session.graph
        width = batch["input_ids"].shape[1]
        short = 0 if self._length is None else self._length - width
        inputs = {name: pad(batch[name], (0, short)) if short else batch[name] for name in graph.inputs}
        wanted = {graph.pooled if output.layer is None else graph.states for output in outputs}
        if PLACES in batch and graph.pooled in wanted:
            raise BackboneError("`pooled` comes out of the graph for a window, not for a text; ask for a pooling of its layer")
        found = self.session(inputs, [name for name in wanted if name is not None])
        mask, kept = batch["attention_mask"], {}
        if graph.states in found:
            states = found[graph.states][:, :width]
            if PLACES in batch:
                states, mask = states.flatten(0, 1)[batch[PLACES]], batch[REAL]
            kept[1] = Layer(states, states[torch.arange(len(states)), mask.argmax(1)], mask)
        seen = Seen({"pooled": found[graph.pooled]} if graph.pooled in found else {}, kept)
        return {output.name: pick(seen, output) for output in outputs}


class OnnxImages(Backbone):
    """A graph over images: layer 1 is its map or sequence, `pooled` its vector of an image.

    Of a sequence, `cls` is the first token, and the other poolings go over all of them.

    Parameters
    ----------
    session
        The graph.
    transform
        PIL image -> `[3, h, w]`; picklable.
    """

    unit = "images"
    joins = True

    def __init__(self, session: Session, transform: Any) -> None:
        self.session = session
        self.decode = DecodeImage(transform)

    @classmethod
    def load(cls, checkpoint: Checkpoint, spec: BackboneSpec, device: str, precision: str) -> "OnnxImages":
        file = Path(checkpoint.location)
        graph = read_graph(file, checkpoint.uri)
        with loading(checkpoint):
            transform = _transform(graph, home_of(file), spec)
            return cls(Session(file, graph, device), transform)

    def prepare(self, samples: Sequence[Any]) -> Prepared:
        return Prepared([fetch(sample) for sample in samples], [1] * len(samples))

    @staticmethod
    def collate(items: Sequence[torch.Tensor]) -> Batch:
        return {"pixels": torch.stack(list(items))}

    def forward(self, batch: Batch, outputs: Sequence[Output]) -> Mapping[str, torch.Tensor | Tokens]:
        graph = self.session.graph
        wanted = {graph.pooled if output.layer is None else graph.states for output in outputs}
        found = self.session(dict.fromkeys(graph.inputs, batch["pixels"]), [name for name in wanted if name is not None])
        own = {"pooled": found[graph.pooled]} if graph.pooled in found else {}
        layers = {}
        if graph.states in found:
            states = found[graph.states]
            layers[1] = Layer.of_map(states) if states.ndim == 4 else Layer(states, states[:, 0])
        return {output.name: pick(Seen(own, layers), output) for output in outputs}


def _limits(home: Path | None, tokenizer: Any, graph: Graph) -> tuple[int | None, int | None]:
    """Return how many tokens a graph can take, None if any number; and where its own settings cut texts, if they say so."""
    files = {} if home is None else {name: home / name for name in ("config.json", "sentence_bert_config.json")}
    told = {name: read_json(file, str(file)) if file.is_file() else {} for name, file in files.items()}
    positions = told.get("config.json", {}).get("max_position_embeddings")
    limits = [int(tokenizer.model_max_length), positions, graph.inputs["input_ids"][1][1]]
    limit = min(value for value in limits if isinstance(value, int))
    own = told.get("sentence_bert_config.json", {}).get("max_seq_length")
    known = limit if limit < NO_LIMIT else None
    return known, min(own, limit) if isinstance(own, int) else None


def _transform(graph: Graph, home: Path | None, spec: BackboneSpec) -> ProcessorTransform:
    """Return the transform of the image processor beside a graph, or of one that the settings describe."""
    from transformers import AutoImageProcessor, ViTImageProcessor

    ((_, shape),) = graph.inputs.values()
    side = spec.image_size or shape[2]
    if home is not None and (home / "preprocessor_config.json").is_file():
        transform = ProcessorTransform(
            with_settings(lambda **settings: AutoImageProcessor.from_pretrained(home, **settings), spec)
        )
    elif spec.mean is None or spec.std is None or side is None:
        raise BackboneError("no preprocessor_config.json beside it; say `mean`, `std` and `image_size` as it was trained with")
    else:
        square = {"height": side, "width": side}
        base = {"size": square, "crop_size": square}
        transform = ProcessorTransform(with_settings(lambda **settings: ViTImageProcessor(**base | settings), spec))
    made = tuple(transform(Image.new("RGB", (64, 48))).shape)
    if any(size not in (None, actual) for size, actual in zip(shape[1:], made, strict=True)):
        raise BackboneError(f"it takes images {list(shape[1:])}, and its preprocessing makes {list(made)}; say `image_size`")
    return transform
