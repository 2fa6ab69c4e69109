"""Text encoders of transformers: BERT, RoBERTa, DistilBERT, ELECTRA and every other `AutoModel` encoder (`hf:`)."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from extract.backbones.base import Backbone, Batch, Prepared, freeze
from extract.backbones.checkpoint import BackboneSpec, Checkpoint
from extract.errors import BackboneError, NoSuchBackboneError
from extract.outputs import Output
from extract.pooling import Tokens, pool

_CHARACTERS_A_TOKEN = 4  # a guess, for the time left
_AUTOCAST = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class TextBackbone(Backbone):
    """A transformer over tokens, from which any layer can be pooled.

    Parameters
    ----------
    model
        A transformers encoder.
    tokenizer
        Its tokenizer.
    max_length
        Tokens after which a text is cut, special tokens included.
    prompt
        Put before every text.
    device, precision
        Where it runs, and `float32`, or `bfloat16` or `float16` for autocast.
    """

    def __init__(self, model: Any, tokenizer: Any, max_length: int, prompt: str, device: str, precision: str) -> None:
        freeze(model)
        self.model = model.to(device)
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.prompt = prompt
        self.device = device
        self.precision = precision

    @classmethod
    def load(cls, checkpoint: Checkpoint, spec: BackboneSpec, device: str, precision: str) -> "TextBackbone":
        from transformers import AutoModel, AutoTokenizer

        with loading(checkpoint):
            tokenizer = AutoTokenizer.from_pretrained(checkpoint.location, revision=checkpoint.revision)
            model = AutoModel.from_pretrained(checkpoint.location, revision=checkpoint.revision, dtype=torch.float32)
        if tokenizer.pad_token_id is None:
            raise BackboneError(f"{checkpoint.uri}: the tokenizer has no padding token")
        limit = token_limit(model, tokenizer)
        return cls(model, tokenizer, checked_length(spec, limit, checkpoint), spec.prompt or "", device, precision)

    def weigh(self, samples: Sequence[Any]) -> np.ndarray:
        return np.minimum([len(text) for text in samples], _CHARACTERS_A_TOKEN * self.max_length)

    def prepare(self, samples: Sequence[Any]) -> Prepared:
        texts = [self.prompt + text for text in samples] if self.prompt else list(samples)
        encoded = self.tokenizer(
            texts, truncation=True, max_length=self.max_length, padding=False, return_attention_mask=False, verbose=False
        )
        prepared = [dict(zip(encoded, values, strict=True)) for values in zip(*encoded.values(), strict=True)]
        return Prepared(prepared, [len(tokens["input_ids"]) for tokens in prepared])

    def collate(self, items: Sequence[dict[str, list[int]]]) -> Batch:
        fill = {"input_ids": self.tokenizer.pad_token_id}
        tokens = {name: [torch.tensor(sample[name]) for sample in items] for name in items[0]}
        tokens["attention_mask"] = [torch.ones(len(sample["input_ids"]), dtype=torch.long) for sample in items]
        return {name: pad_sequence(rows, True, fill.get(name, 0)) for name, rows in tokens.items()}

    def forward(self, batch: Batch, outputs: Sequence[Output]) -> Mapping[str, torch.Tensor | Tokens]:
        last = self._layers()
        deep = any(output.layer not in (None, last) for output in outputs)
        with torch.inference_mode(), self._autocast():
            result = self.model(**batch, output_hidden_states=deep)
        states = dict(enumerate(result.hidden_states)) if deep else {}
        states[last] = result.last_hidden_state
        mask = batch["attention_mask"]
        with torch.inference_mode():
            return {
                output.name: self.own_feature(states[last], mask)
                if output.layer is None
                else pool(states[output.layer], mask, output.pooling)
                for output in outputs
            }

    def own_feature(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the backbone's own pooled feature `[b, d]` from its last states `[b, t, d]`; plain encoders have none."""
        raise BackboneError("this backbone has no pooled feature of its own")

    def _layers(self) -> int:
        return int(self.model.config.num_hidden_layers)

    def _autocast(self) -> torch.autocast:
        on = self.precision in _AUTOCAST
        return torch.autocast(torch.device(self.device).type, dtype=_AUTOCAST.get(self.precision), enabled=on)


def token_limit(model: Any, tokenizer: Any) -> int:
    """Return how many tokens a model can take: the lesser of what its tokenizer says and its positions allow."""
    limit = int(tokenizer.model_max_length)
    positions = getattr(model.config, "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        table = getattr(getattr(model, "embeddings", None), "position_embeddings", None)
        offset = getattr(table, "padding_idx", None)  # RoBERTa's positions begin after the padding's
        limit = min(limit, positions - (0 if offset is None else offset + 1))
    return limit


def checked_length(spec: BackboneSpec, limit: int, checkpoint: Checkpoint) -> int:
    """Return the length to cut texts at; raises `BackboneError` if more is asked than the model can take."""
    if spec.max_length is not None and not 1 < spec.max_length <= limit:
        raise NoSuchBackboneError(
            f"{checkpoint.uri}: max_length {spec.max_length} is not between 2 and {limit}, what this model takes"
        )
    return spec.max_length or limit


@contextmanager
def loading(checkpoint: Checkpoint) -> Iterator[None]:
    """Put a library's failure to load a checkpoint in one line, and hide its progress bar unless it downloads."""
    from transformers.utils import logging

    local = checkpoint.revision is None
    if local:
        logging.disable_progress_bar()
    try:
        yield
    except Exception as error:  # transformers raises OSError, ValueError, KeyError, SafetensorError, ...
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BackboneError(f"{checkpoint.uri}: {checkpoint.location} does not load: {reason}") from error
    finally:
        if local:
            logging.enable_progress_bar()
