"""BLIP of transformers: features of images, and of an image with a text that attends to it (`hf:`)."""

from collections.abc import Collection
from typing import Any

import torch

from extract.backbones.checkpoint import Checkpoint
from extract.backbones.clip import load_tokeniser
from extract.backbones.hf_vision import load_transform, load_whole, run_encoder
from extract.backbones.loading import loading
from extract.backbones.spec import BackboneSpec
from extract.backbones.towers import ImageTextBackbone
from extract.backbones.vision import ImageBackbone, Layer, Seen


class BlipImages(ImageBackbone):
    """BLIP's vision encoder: `pooled` is its `pooler_output`, the normed class token."""

    @classmethod
    def load(cls, checkpoint: Checkpoint, spec: BackboneSpec, device: str, precision: str) -> "BlipImages":
        with loading(checkpoint):
            model = _load(checkpoint, spec)
            return cls(model.vision_model, load_transform(checkpoint, spec), device, precision)

    def look(self, pixels: torch.Tensor, layers: Collection[int]) -> Seen:
        states, _, pooled = run_encoder(self.model, pixels, layers, interpolate_pos_encoding=True)
        assert pooled is not None
        return Seen({"pooled": pooled}, {layer: Layer.of_sequence(tensor, 1, True) for layer, tensor in states.items()})


class BlipPairs(ImageTextBackbone):
    """BLIP's text model attending to an image: layers are its states over the text's tokens.

    Of a model for retrieval or question answering that is the encoder, whose first token has seen everything; of one for
    captions it is the decoder, whose last token has.
    """

    @classmethod
    def load(cls, checkpoint: Checkpoint, spec: BackboneSpec, device: str, precision: str) -> "BlipPairs":
        with loading(checkpoint):
            model = _load(checkpoint, spec)
            tokenise = load_tokeniser(model, checkpoint, spec)
            return cls(_Pairs(model), load_transform(checkpoint, spec), *tokenise, device, precision)

    def take_in(self, pixels: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor, layers: Collection[int]) -> Seen:
        part: Any = self.model
        image = part.images(pixel_values=pixels, interpolate_pos_encoding=True).last_hidden_state
        result = part.texts(
            input_ids=ids,
            attention_mask=mask,
            encoder_hidden_states=image,
            encoder_attention_mask=torch.ones(image.shape[:2], dtype=torch.long, device=image.device),
            is_decoder=part.is_decoder,
            output_hidden_states=True,
        )
        return Seen(
            {}, {layer: Layer(result.hidden_states[layer], result.hidden_states[layer][:, 0], mask) for layer in layers}
        )


class _Pairs(torch.nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.is_decoder = not (hasattr(model, "text_encoder") or hasattr(model, "text_model"))
        self.images = model.vision_model
        self.texts = model.text_decoder.bert if self.is_decoder else getattr(model, "text_encoder", None) or model.text_model


def _load(checkpoint: Checkpoint, spec: BackboneSpec) -> Any:
    import transformers

    config = transformers.AutoConfig.from_pretrained(checkpoint.location, revision=checkpoint.revision)
    architecture = (config.architectures or ["BlipModel"])[0]
    return load_whole(getattr(transformers, architecture), checkpoint, spec)[0]
