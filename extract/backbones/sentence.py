"""sentence-transformers models: their own pooling, prompts and normalisation, besides every layer (`st:`)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from extract.backbones.base import freeze
from extract.backbones.checkpoint import Checkpoint
from extract.backbones.loading import loading
from extract.backbones.spec import BackboneSpec
from extract.backbones.text import (
    LENGTH_WITHOUT_LIMIT,
    TextBackbone,
    check_vocabulary,
    checked_length,
    load_tokenizer,
    make_texts,
    token_limit,
)
from extract.backbones.tokens import Cutting
from extract.errors import BackboneError


class SentenceBackbone(TextBackbone):
    """A sentence-transformers model: `pooled` equals the library's `encode`.

    Parameters
    ----------
    encoder
        The model in the library's first module.
    tail
        The library's other modules: pooling, dense layers, normalisation.
    texts, layers, device, precision
        As for `TextBackbone`.
    """

    def __init__(self, encoder: Any, tail: Sequence[Any], texts: Cutting, layers: int, device: str, precision: str) -> None:
        super().__init__(encoder, texts, layers, device, precision)
        self.tail = tail
        for module in tail:
            freeze(module.to(device))
        self._prompt_tokens = _count_prompt_tokens(texts.tokenizer, texts.prompt)

    @classmethod
    def load(cls, checkpoint: Checkpoint, spec: BackboneSpec, device: str, precision: str) -> "SentenceBackbone":
        model = _load_model(checkpoint, spec)
        first, *tail = model
        if not hasattr(first, "auto_model"):
            raise BackboneError(f"{checkpoint.uri}: its first module is {type(first).__name__}, not a transformer over text")
        tokenizer = model.tokenizer
        if spec.tokenizer is not None or spec.truncation_side is not None:
            with loading(checkpoint):
                tokenizer = load_tokenizer(checkpoint.location, checkpoint.revision, spec)
                check_vocabulary(tokenizer, first.auto_model, spec)
        limit = token_limit(first.auto_model, tokenizer)
        own = int(model.max_seq_length or limit or LENGTH_WITHOUT_LIMIT)
        length = own if spec.max_length is None else checked_length(spec, limit and max(own, limit), checkpoint)
        prompt = spec.prompt if spec.prompt is not None else model.prompts.get(model.default_prompt_name or "", "")
        texts = make_texts(tokenizer, first.auto_model, length, prompt or "", spec, checkpoint)
        return cls(first.auto_model, tail, texts, checkpoint.offer.layers, device, precision)

    def save(self, folder: Path, checkpoint: Checkpoint, spec: BackboneSpec) -> None:
        model = _load_model(checkpoint, spec)
        first, *tail = model
        first.auto_model.load_state_dict(self.model.state_dict())
        for module, own in zip(tail, self.tail, strict=True):
            module.load_state_dict(own.state_dict())
        model.save_pretrained(str(folder), create_model_card=False)

    def own_feature(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        features: dict[str, Any] = {"token_embeddings": states.float(), "attention_mask": mask, "modality": "text"}
        if self._prompt_tokens:
            features["prompt_length"] = self._prompt_tokens
        for module in self.tail:
            features = module(features)
        feature: torch.Tensor = features["sentence_embedding"]
        return feature.float()


def _load_model(checkpoint: Checkpoint, spec: BackboneSpec) -> Any:
    from sentence_transformers import SentenceTransformer

    with loading(checkpoint):
        return SentenceTransformer(
            checkpoint.location, revision=checkpoint.revision, device="cpu", trust_remote_code=spec.trust_remote_code
        )


def _count_prompt_tokens(tokenizer: Any, prompt: str) -> int:
    """Count the tokens that a prompt puts before a text: all but the closing one, as the library's pooling expects."""
    if not prompt:
        return 0
    tokens = tokenizer(prompt)["input_ids"]
    return len(tokens) - (tokens[-1] in tokenizer.all_special_ids)
