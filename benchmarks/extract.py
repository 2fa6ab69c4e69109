"""Texts through all-MiniLM-L6-v2, several ways, in one run: `python -m benchmarks.extract [--texts N] [--device cuda]`.

Then many outputs against one, through a random encoder of 12 layers: what further layers and poolings cost.

Models are loaded beforehand; everything else counts (tokenising, forward, pooling, and for Headstart the commit to a
store on disk). The ways take turns, round by round, and a way's time is its median, so that a noisy machine hits all alike.
"""

import argparse
import contextlib
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import tables
from cache import FeatureStore, Recipe, as_key_array, text_key
from extract import BackboneSpec, Columns, find_backbone, load_samples
from extract.backbones.loading import autocast
from extract.backbones.sentence import SentenceBackbone
from extract.backbones.text import TextBackbone
from extract.extractor import Quiet, make_recipe
from extract.loop import run_loop
from extract.outputs import Output

Clock = Callable[[], float]
ROOT = Path(__file__).parents[1]
SOURCES = {
    "demo sentences": ROOT / "examples/data/sentences.csv",
    "Reuters R8": ROOT.parent / "shared/data/r8.csv",
}


def main() -> None:
    """Measure and print a table per source."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=2000, help="demo sentences taken; a quarter as many of R8")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cpu-time", action="store_true", help="processor time on one thread: for a machine that is busy")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"], help="of all ways")
    options = parser.parse_args()
    place = Place(options.device, options.precision)
    clock = time.process_time if options.cpu_time else time.perf_counter
    if options.cpu_time:
        torch.set_num_threads(1)
    for name, path in SOURCES.items():
        if path.is_file():
            count = options.texts if "demo" in name else options.texts // 4
            texts = sorted(set(load_samples(path, Columns()).inputs))
            measure(name, random.Random(0).sample(texts, min(count, len(texts))), options.rounds, clock, place)
    texts = sorted(set(load_samples(SOURCES["demo sentences"], Columns()).inputs))
    measure_outputs(random.Random(0).sample(texts, min(options.texts // 2, len(texts))), options.rounds, clock, place)


def measure(name: str, texts: Sequence[str], rounds: int, clock: Clock, place: "Place") -> None:
    """Time every way on the same texts and print the ratios."""
    checkpoint = find_backbone("all-MiniLM-L6-v2")
    spec = BackboneSpec("all-MiniLM-L6-v2")
    backbone = SentenceBackbone.load(checkpoint, spec, place.device, place.precision)
    recipe = make_recipe(checkpoint, spec, place.precision)
    keys = as_key_array(map(text_key, texts))
    lengths = backbone.prepare(texts).costs

    from sentence_transformers import SentenceTransformer
    from transformers import AutoModel, AutoTokenizer

    library = SentenceTransformer(checkpoint.location, device=place.device)
    model = AutoModel.from_pretrained(checkpoint.location).eval().to(place.device)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint.location)

    def headstart() -> np.ndarray:
        return _extract(backbone, recipe, texts, keys, [Output(None, "pooled")], place)["pooled"]

    batches = _record_batches(backbone, headstart)
    assert sum(len(batch["input_ids"]) for batch in batches) == len(texts)

    def bare_forward() -> None:
        with torch.inference_mode(), place.arithmetic():
            for batch in batches:
                backbone.model(**batch)
        place.wait()

    def encode(size: int = 32) -> np.ndarray:
        with place.arithmetic():
            return library.encode(list(texts), show_progress_bar=False, batch_size=size)

    def plain_loop() -> np.ndarray:
        with place.arithmetic():
            return _plain_loop(model, tokenizer, texts, place.device)

    ways: dict[str, Callable[[], Any]] = {
        "headstart": headstart,
        "the bare forward on the same ready batches": bare_forward,
        "sentence_transformers encode": encode,
        "transformers loop, 32 a batch": plain_loop,
    }
    if place.device != "cpu":
        ways["sentence_transformers encode, 512 a batch"] = partial(encode, 512)
    median, vectors = _take_turns(ways, rounds, clock)
    given = [found for found in vectors.values() if found is not None]
    apart = max(float(np.abs(found - vectors["headstart"]).max()) for found in given)
    print(f"\n{name}: {len(texts):,} texts, {sum(lengths):,} tokens, vectors agree to {apart:.0e}\n")
    _print_times(median, "headstart", len(texts), sum(lengths))


def measure_outputs(texts: Sequence[str], rounds: int, clock: Clock, place: "Place") -> None:
    """Time one output against 12 layers with 3 poolings each, out of one pass."""
    with tempfile.TemporaryDirectory() as folder:
        backbone, recipe = _random_encoder(Path(folder), place)
    keys = as_key_array(map(text_key, texts))
    many = [Output(layer, pooling) for layer in range(1, 13) for pooling in ("cls", "mean", "max")]
    ways = {
        "the last layer's mean": lambda: len(_extract(backbone, recipe, texts, keys, [Output(12, "mean")], place)),
        "12 layers x cls, mean, max": lambda: len(_extract(backbone, recipe, texts, keys, many, place)),
    }
    median, counts = _take_turns(ways, rounds, clock)
    assert list(counts.values()) == [1, 36]
    tokens = sum(backbone.prepare(texts).costs)
    print(f"\nOutputs: {len(texts):,} demo sentences through a random encoder of 12 layers, width 384\n")
    _print_times(median, "the last layer's mean", len(texts), tokens)


@dataclass(frozen=True)
class Place:
    """Where, and in which precision, everything is computed."""

    device: str
    precision: str

    def arithmetic(self) -> contextlib.AbstractContextManager[Any]:
        """Have the libraries compute in the precision."""
        return autocast(self.device, self.precision)

    def wait(self) -> None:
        """Wait for the device."""
        if self.device != "cpu":
            torch.cuda.synchronize()


def _extract(backbone, recipe, texts, keys, outputs, place) -> dict[str, np.ndarray]:  # type: ignore[no-untyped-def]
    with tempfile.TemporaryDirectory() as folder:
        store = FeatureStore(Path(folder) / "store")
        commit = lambda some, features: store.commit(recipe, some, features)  # noqa: E731
        run_loop(backbone, texts, keys, outputs, "float32", commit, Quiet(), device=place.device)
        return {output.name: store.read(recipe, keys, output.name) for output in outputs}


def _record_batches(backbone, run: Callable[[], Any]) -> list[dict[str, torch.Tensor]]:  # type: ignore[no-untyped-def]
    """Return the batches that a run makes."""
    batches, forward = [], backbone.forward

    def record(batch, outputs):  # type: ignore[no-untyped-def]
        batches.append(batch)
        return forward(batch, outputs)

    backbone.forward = record
    try:
        run()
    finally:
        del backbone.forward
    return batches


def _random_encoder(folder: Path, place: Place) -> tuple[TextBackbone, Recipe]:
    from transformers import AutoTokenizer, BertConfig, BertModel

    AutoTokenizer.from_pretrained(find_backbone("all-MiniLM-L6-v2").location).save_pretrained(folder)
    sizes = {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 1536}
    BertModel(BertConfig(**sizes)).save_pretrained(folder)
    checkpoint, spec = find_backbone(f"hf:{folder}"), BackboneSpec(f"hf:{folder}", max_length=256)
    return TextBackbone.load(checkpoint, spec, place.device, place.precision), make_recipe(checkpoint, spec, place.precision)


def _take_turns(ways: dict[str, Callable[[], Any]], rounds: int, clock: Clock) -> tuple[dict[str, float], dict[str, Any]]:
    """Run every way in every round; return the median of its times, and what it gave last."""
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    given = {}
    for turn in range(rounds + 1):
        for way, run in ways.items():
            began = clock()
            given[way] = run()
            if turn:  # the first round warms up
                seconds[way].append(clock() - began)
    return {way: statistics.median(times) for way, times in seconds.items()}, given


def _print_times(median: dict[str, float], against: str, texts: int, tokens: int) -> None:
    rows = [
        (way, f"{texts / took:,.0f}", f"{tokens / took:,.0f}", f"{took / median[against]:.2f}x") for way, took in median.items()
    ]
    print(tables.markdown(("way", "texts/s", "tokens/s", f"time against {against}"), rows), flush=True)


def _plain_loop(model, tokenizer, texts: Sequence[str], device: str) -> np.ndarray:  # type: ignore[no-untyped-def]
    parts = []
    with torch.inference_mode():
        for start in range(0, len(texts), 32):
            batch = tokenizer(
                list(texts[start : start + 32]), padding=True, truncation=True, max_length=256, return_tensors="pt"
            ).to(device)
            states, mask = model(**batch).last_hidden_state, batch["attention_mask"].unsqueeze(-1)
            mean = (states * mask).sum(1) / mask.sum(1)
            parts.append(torch.nn.functional.normalize(mean, dim=1))
    return torch.cat(parts).float().cpu().numpy()


if __name__ == "__main__":
    main()
