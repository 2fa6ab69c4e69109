"""sentence-transformers models: their own pooling, prompts and normalisation, besides every layer (`st:`)."""

from typing import Any

import torch

from extract.backbones.checkpoint import BackboneSpec, Checkpoint
from extract.backbones.text import TextBackbone, checked_length, loading, token_limit
from extract.errors import BackboneError


class SentenceBackbone(TextBackbone):
    """A sentence-transformers model: `pooled` equals the library's `encode`.

    Parameters
    ----------
    sentence_transformer
        The library's model, whose first module is a transformer.
    max_length, prompt, device, precision
        As for `TextBackbone`.
    """

    def __init__(self, sentence_transformer: Any, max_length: int, prompt: str, device: str, precision: str) -> None:
        encoder, *self.tail = sentence_transformer
        sentence_transformer.to(device)
        super().__init__(encoder.auto_model, sentence_transformer.tokenizer, max_length, prompt, device, precision)
        for module in self.tail:
            module.eval().requires_grad_(False)
        self._prompt_tokens = _count_prompt_tokens(self.tokenizer, prompt)

    @classmethod
    def load(cls, checkpoint: Checkpoint, spec: BackboneSpec, device: str, precision: str) -> "SentenceBackbone":
        from sentence_transformers import SentenceTransformer

        with loading(checkpoint):
            model = SentenceTransformer(checkpoint.location, revision=checkpoint.revision, device="cpu")
        if not hasattr(model[0], "auto_model"):
            raise BackboneError(f"{checkpoint.uri}: its first module is {type(model[0]).__name__}, not a transformer over text")
        own = int(model.max_seq_length or token_limit(model[0].auto_model, model.tokenizer))
        limit = max(own, token_limit(model[0].auto_model, model.tokenizer))
        length = own if spec.max_length is None else checked_length(spec, limit, checkpoint)
        prompt = spec.prompt if spec.prompt is not None else model.prompts.get(model.default_prompt_name or "", "")
        return cls(model, length, prompt or "", device, precision)

    def own_feature(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        features: dict[str, Any] = {"token_embeddings": states.float(), "attention_mask": mask, "modality": "text"}
        if self._prompt_tokens:
            features["prompt_length"] = self._prompt_tokens
        for module in self.tail:
            features = module(features)
        feature: torch.Tensor = features["sentence_embedding"]
        return feature.float()


def _count_prompt_tokens(tokenizer: Any, prompt: str) -> int:
    """Count the tokens that a prompt puts before a text: all but the closing one, as the library's pooling expects."""
    if not prompt:
        return 0
    tokens = tokenizer(prompt)["input_ids"]
    return len(tokens) - (tokens[-1] in tokenizer.all_special_ids)
