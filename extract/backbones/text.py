"""Texts through transformers: encoders, decoders and encoder halves, whatever `AutoModel` loads (`hf:`)."""

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from extract.backbones.base import Backbone, Batch, Prepared, freeze
from extract.backbones.checkpoint import Checkpoint
from extract.backbones.find_tokenizer import find_tokenizer
from extract.backbones.loading import autocast, loading, without_graph
from extract.backbones.spec import BackboneSpec
from extract.backbones.tokens import PLACES, REAL, Cutting, Windowing, make_cutting
from extract.errors import BackboneError, NoSuchBackboneError
from extract.outputs import Output
from extract.pooling import Tokens, pool

LENGTH_WITHOUT_LIMIT = 512
"""Where texts are cut for a model that states no limit, such as T5, unless a length is asked for."""

NO_LIMIT = 10**9  # tokenizers that know of no limit say 10^30
_UNUSED = re.compile(r"(^|\.)(pooler|decoder)\.")  # weights that no output comes from
_WINDOWS_AT_ONCE = 16


class TextBackbone(Backbone):
    """A transformer over tokens, from which any layer can be pooled.

    Parameters
    ----------
    model
        An encoder or decoder of transformers.
    texts
        Turns texts into its tokens.
    layers
        How many layers it has after the embeddings.
    device, precision
        Where it runs, and `float32`, or `bfloat16` or `float16` for autocast.
    """

    def __init__(self, model: Any, texts: Cutting, layers: int, device: str, precision: str) -> None:
        freeze(model)
        self.model = model.to(device)
        if hasattr(model.config, "use_cache"):
            model.config.use_cache = False
        self.texts = texts
        self.layers = layers
        self.device = device
        self.precision = precision
        self.token_mask = REAL if isinstance(texts, Windowing) else "attention_mask"
        self._accepted = set(inspect.signature(model.forward).parameters)

    @classmethod
    def load(cls, checkpoint: Checkpoint, spec: BackboneSpec, device: str, precision: str) -> "TextBackbone":
        with loading(checkpoint):
            tokenizer = load_tokenizer(checkpoint.location, checkpoint.revision, spec)
            _, model = _load_model(checkpoint.location, _place(checkpoint, spec))
            check_vocabulary(tokenizer, model, spec)
        length = checked_length(spec, token_limit(model, tokenizer), checkpoint)
        texts = make_texts(tokenizer, model, length, spec.prompt or "", spec, checkpoint)
        return cls(model, texts, checkpoint.offer.layers, device, precision)

    def weigh(self, samples: Sequence[Any]) -> np.ndarray:
        return self.texts.weigh(samples)

    def prepare(self, samples: Sequence[Any]) -> Prepared:
        return self.texts.prepare(samples)

    def collate(self, items: Sequence[Any]) -> Batch:
        return self.texts.collate(items)

    def forward(self, batch: Batch, outputs: Sequence[Output]) -> Mapping[str, torch.Tensor | Tokens]:
        deep = any(output.layer not in (None, self.layers) for output in outputs)
        inputs = {name: tensor for name, tensor in batch.items() if name in self._accepted}
        with without_graph(self.model):
            if PLACES in batch:
                states, mask = self._run_windows(inputs, batch[PLACES], deep), batch[REAL]
            else:
                states, mask = self._run(inputs, deep), batch["attention_mask"]
            return {
                output.name: self.own_feature(states[self.layers], mask)
                if output.layer is None
                else pool(states[output.layer], mask, output.pooling)
                for output in outputs
            }

    def save(self, folder: Path, checkpoint: Checkpoint, spec: BackboneSpec) -> None:
        from transformers import AutoConfig

        with loading(checkpoint):
            whole, part = _load_model(checkpoint.location, _place(checkpoint, spec))  # half of a model is no checkpoint
            halved = AutoConfig.from_pretrained(checkpoint.location, **_place(checkpoint, spec)).is_encoder_decoder
        part.load_state_dict(self.model.state_dict())
        whole.config.is_encoder_decoder = halved  # which an encoder alone (T5's) denies, and would be loaded as both
        whole.save_pretrained(folder)
        load_tokenizer(checkpoint.location, checkpoint.revision, replace(spec, tokenizer=None)).save_pretrained(folder)

    def own_feature(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the backbone's own pooled feature `[b, d]` from its last states `[b, t, d]`; plain encoders have none."""
        raise BackboneError("this backbone has no pooled feature of its own")

    def _run(self, inputs: Batch, deep: bool) -> dict[int, torch.Tensor]:
        with autocast(self.device, self.precision):
            result = self.model(**inputs, output_hidden_states=deep)
        states = dict(enumerate(result.hidden_states)) if deep else {}
        return states | {self.layers: result.last_hidden_state}

    def _run_windows(self, inputs: Batch, places: torch.Tensor, deep: bool) -> dict[int, torch.Tensor]:
        """Run windows a few at a time, since one text may have any number, and put the texts' states together."""
        starts = range(0, len(inputs["input_ids"]), _WINDOWS_AT_ONCE)
        parts = [
            self._run({name: tensor[start : start + _WINDOWS_AT_ONCE] for name, tensor in inputs.items()}, deep)
            for start in starts
        ]
        return {layer: torch.cat([part[layer].flatten(0, 1) for part in parts])[places] for layer in parts[0]}


def make_texts(tokenizer: Any, model: Any, length: int, prompt: str, spec: BackboneSpec, checkpoint: Checkpoint) -> Cutting:
    """Return what turns texts into a model's tokens, cut or in windows as asked."""
    known = (tokenizer.pad_token_id, getattr(model.config, "pad_token_id", None), 0)
    return make_cutting(tokenizer, length, prompt, next(token for token in known if token is not None), spec, checkpoint)


def load_tokenizer(location: str | Path | None, revision: str | None, spec: BackboneSpec) -> Any:
    """Load the tokenizer in a folder or on the hub, or the one that the settings name instead."""
    from transformers import AutoTokenizer

    if spec.tokenizer is not None:
        found = find_tokenizer(spec.tokenizer)
        location, revision = found.location, found.revision
    tokenizer = AutoTokenizer.from_pretrained(location, revision=revision, trust_remote_code=spec.trust_remote_code)
    if spec.truncation_side is not None:
        tokenizer.truncation_side = spec.truncation_side
    return tokenizer


def check_vocabulary(tokenizer: Any, model: Any, spec: BackboneSpec) -> None:
    """Refuse a tokenizer that was named and has tokens that the model has no embeddings of."""
    if spec.tokenizer is not None and len(tokenizer) > (rows := model.get_input_embeddings().num_embeddings):
        raise BackboneError(f"tokenizer {spec.tokenizer} has {len(tokenizer):,} tokens, and the model knows {rows:,}")


def _place(checkpoint: Checkpoint, spec: BackboneSpec) -> dict[str, Any]:
    return {"revision": checkpoint.revision, "trust_remote_code": spec.trust_remote_code}


def _load_model(location: str, place: Mapping[str, Any]) -> tuple[Any, Any]:
    """Load an encoder, a decoder without its language head, or a model with both; return it and the part that reads texts."""
    from transformers import AutoConfig, AutoModel, AutoModelForTextEncoding
    from transformers.models.auto.modeling_auto import MODEL_FOR_TEXT_ENCODING_MAPPING

    config = AutoConfig.from_pretrained(location, **place)
    halved = config.is_encoder_decoder
    auto = AutoModelForTextEncoding if halved and type(config) in MODEL_FOR_TEXT_ENCODING_MAPPING else AutoModel
    model, found = auto.from_pretrained(location, config=config, dtype=torch.float32, output_loading_info=True, **place)
    missing = sorted(name for name in found["missing_keys"] if not _UNUSED.search(name))
    if missing:  # the library would go on with random ones
        raise ValueError(f"{len(missing)} of its weights are not there, such as {missing[0]}")
    return model, model.get_encoder() if halved and auto is AutoModel else model


def token_limit(model: Any, tokenizer: Any) -> int | None:
    """Return how many tokens a model can take, the lesser of what its tokenizer says and its positions allow; None if any."""
    limits = [int(tokenizer.model_max_length)]
    positions = getattr(model.config, "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        table = getattr(getattr(model, "embeddings", None), "position_embeddings", None)
        offset = getattr(table, "padding_idx", None)  # RoBERTa's positions begin after the padding's
        limits.append(positions - (0 if offset is None else offset + 1))
    limit = min(limits)
    return limit if limit < NO_LIMIT else None


def checked_length(spec: BackboneSpec, limit: int | None, checkpoint: Checkpoint) -> int:
    """Return the length to cut texts at; raises `BackboneError` if more is asked than the model can take."""
    if spec.max_length is not None and not 1 < spec.max_length <= (limit or NO_LIMIT):
        most = "what this model takes" if limit else "which is what can be"
        raise NoSuchBackboneError(
            f"{checkpoint.uri}: max_length {spec.max_length} is not between 2 and {limit or NO_LIMIT}, {most}"
        )
    return spec.max_length or limit or LENGTH_WITHOUT_LIMIT
