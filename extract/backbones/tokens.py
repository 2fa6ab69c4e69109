"""Texts to tokens: cut to a length, or read whole in overlapping windows."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from extract.backbones.base import Batch, Prepared
from extract.backbones.checkpoint import Checkpoint
from extract.backbones.spec import BackboneSpec
from extract.errors import NoSuchBackboneError

PLACES, REAL = "window_places", "window_real"
"""Where a text's tokens are among those of all windows of a batch `[b, t]`, and which of these places are real `[b, t]`."""

Encoded = Mapping[str, list[int]]

_CHARACTERS_A_TOKEN = 4  # a guess, for the time left


class Cutting:
    """Tokenises texts, or texts with their pairs, and cuts them to a length.

    Parameters
    ----------
    tokenizer
        Of transformers.
    max_length
        Most tokens, special ones included; of a pair the longer text is cut.
    prompt
        Put before every text (of a pair, before the first).
    padding
        Token that stands where there is none.
    lowercase
        Whether texts are turned to lower case first.
    """

    def __init__(self, tokenizer: Any, max_length: int, prompt: str, padding: int, lowercase: bool = False) -> None:
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.prompt = prompt
        self.padding = padding
        self.lowercase = lowercase

    def weigh(self, samples: Sequence[Any]) -> np.ndarray:
        """Guess what texts will cost, from their characters `[n]`."""
        return np.minimum(_characters(samples), _CHARACTERS_A_TOKEN * self.max_length)

    def prepare(self, samples: Sequence[Any]) -> Prepared:
        """Tokenise texts; tell how long they were before they were cut."""
        encoded = self._encode(samples, truncation=True, max_length=self.max_length)
        costs = np.array([len(tokens["input_ids"]) for tokens in encoded], dtype=np.int64)
        whole = costs.copy()
        full = np.flatnonzero(costs >= self.max_length)
        for row, tokens in zip(full, self._encode([samples[row] for row in full.tolist()], truncation=False), strict=True):
            whole[row] = len(tokens["input_ids"])
        return Prepared(encoded, costs.tolist(), whole.tolist())

    def collate(self, items: Sequence[Any]) -> Batch:
        """Pad tokens on the right, whatever the tokenizer's side, and mask the padding; every field is one number a token."""
        lengths = np.array([len(item["input_ids"]) for item in items])
        real = np.arange(lengths.max()) < lengths[:, None]
        batch = {"attention_mask": torch.from_numpy(real.astype(np.int64))}
        for name in items[0]:
            padded = np.full(real.shape, self.padding if name == "input_ids" else 0)
            padded[real] = np.fromiter(chain.from_iterable(item[name] for item in items), np.int64, int(lengths.sum()))
            batch[name] = torch.from_numpy(padded)
        return batch

    def _encode(self, samples: Sequence[Any], **settings: Any) -> list[Encoded]:
        if not len(samples):
            return []
        texts = [sample if isinstance(sample, str) else sample[0] for sample in samples]
        pairs = [None if isinstance(sample, str) else sample[1] for sample in samples]
        if len({pair is None for pair in pairs}) > 1:  # a tokenizer takes either; texts without a pair have an empty one
            return [self._encode([sample], **settings)[0] for sample in samples]
        columns = self.tokenizer(
            self._spell([self.prompt + text for text in texts] if self.prompt else texts),
            None if pairs[0] is None else self._spell(pairs),
            padding=False,
            return_attention_mask=False,
            verbose=False,
            **settings,
        )
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    def _spell(self, texts: list[Any]) -> list[Any]:
        return [text.lower() for text in texts] if self.lowercase else texts


class Windowing(Cutting):
    """Tokenises texts and reads those that are too long in windows, neighbours of which share tokens.

    A token that two windows share counts once: the first half of the shared ones as the earlier window sees them, the second
    half as the later one does, so that each has context on both sides. Special tokens count where the text begins and ends.

    Parameters
    ----------
    tokenizer, max_length, prompt, padding, lowercase
        As for `Cutting`; `max_length` is a window's.
    overlap
        Tokens that neighbours share.
    """

    def __init__(
        self, tokenizer: Any, max_length: int, prompt: str, padding: int, overlap: int, lowercase: bool = False
    ) -> None:
        super().__init__(tokenizer, max_length, prompt, padding, lowercase)
        room = max_length - tokenizer.num_special_tokens_to_add()
        if not tokenizer.is_fast:
            raise NoSuchBackboneError("window_overlap needs a fast tokenizer, and this backbone has none; leave it out")
        if not overlap < room:
            raise NoSuchBackboneError(f"window_overlap {overlap} is not less than the {room} tokens of a text in a window")
        tokenizer.truncation_side = "right"
        self.overlap = overlap

    def weigh(self, samples: Sequence[Any]) -> np.ndarray:
        """Guess what texts will cost, from their characters `[n]`."""
        return np.asarray(_characters(samples))

    def prepare(self, samples: Sequence[Any]) -> Prepared:
        """Tokenise texts; each becomes the list of its windows."""
        if not all(isinstance(sample, str) for sample in samples):
            raise NoSuchBackboneError("window_overlap is for single texts, not for pairs; leave it out")
        windows = self._encode(
            samples,
            truncation=True,
            max_length=self.max_length,
            stride=self.overlap,
            return_overflowing_tokens=True,
            return_special_tokens_mask=True,
        )
        texts: list[list[Encoded]] = [[] for _ in samples]
        for window in windows:
            texts[window["overflow_to_sample_mapping"]].append(window)  # type: ignore[call-overload]
        return Prepared(texts, [sum(len(window["input_ids"]) for window in text) for text in texts])

    def collate(self, items: Sequence[Any]) -> Batch:
        """Pad all windows of all texts into one batch, with the places of each text's tokens in it."""
        windows = [window for text in items for window in text]
        own = ("overflow_to_sample_mapping", "special_tokens_mask")
        batch = super().collate([{name: values for name, values in w.items() if name not in own} for w in windows])
        width = batch["input_ids"].shape[1]
        places, before = [], 0
        for text in items:
            kept = [self._kept(window, number == 0, number == len(text) - 1) for number, window in enumerate(text)]
            places.append(torch.cat([torch.arange(a, b) + (before + n) * width for n, (a, b) in enumerate(kept)]))
            before += len(text)
        real = [torch.ones(len(part), dtype=torch.long) for part in places]
        return batch | {PLACES: pad_sequence(places, True), REAL: pad_sequence(real, True)}

    def _kept(self, window: Encoded, first: bool, last: bool) -> tuple[int, int]:
        """Return which tokens of a window count: from, to."""
        special = window["special_tokens_mask"]
        begin, end = 0, len(special)
        if not first:
            begin = special.index(0) + self.overlap - self.overlap // 2
        if not last:
            end -= special[::-1].index(0) + self.overlap // 2
        return begin, end


def make_cutting(tokenizer: Any, length: int, prompt: str, padding: int, spec: BackboneSpec, checkpoint: Checkpoint) -> Cutting:
    """Return what turns texts into tokens, cut or in windows as the settings say; parameters as for `Cutting`.

    Raises
    ------
    NoSuchBackboneError
        If windows are asked for and cannot be made.
    """
    if spec.window_overlap is None:
        return Cutting(tokenizer, length, prompt, padding, spec.lowercase)
    if spec.truncation_side is not None:
        raise NoSuchBackboneError(f"{checkpoint.uri}: with window_overlap nothing is cut off; leave out truncation_side")
    try:
        return Windowing(tokenizer, length, prompt, padding, spec.window_overlap, spec.lowercase)
    except NoSuchBackboneError as error:
        raise NoSuchBackboneError(f"{checkpoint.uri}: {error}") from error


def _characters(samples: Sequence[Any]) -> list[int]:
    return [len(sample) if isinstance(sample, str) else sum(map(len, sample)) for sample in samples]
