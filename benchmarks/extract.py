"""Texts through all-MiniLM-L6-v2, three ways, in one run: `python -m benchmarks.extract [--texts N] [--rounds R]`.

Models are loaded beforehand; everything else counts (tokenising, forward, pooling, and for Headstart the commit to a
store on disk). The ways take turns, round by round, and a way's time is its median, so that a noisy machine hits all alike.
"""

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks import tables
from cache import FeatureStore, as_key_array, text_key
from extract import BackboneSpec, Columns, find_backbone, load_samples
from extract.backbones.sentence import SentenceBackbone
from extract.extractor import Quiet, make_recipe
from extract.loop import run_loop
from extract.outputs import Output

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
    options = parser.parse_args()
    for name, path in SOURCES.items():
        if path.is_file():
            count = options.texts if "demo" in name else options.texts // 4
            texts = sorted(set(load_samples(path, Columns()).inputs))
            measure(name, random.Random(0).sample(texts, min(count, len(texts))), options.rounds)


def measure(name: str, texts: Sequence[str], rounds: int) -> None:
    """Time every way on the same texts and print the ratios."""
    checkpoint = find_backbone("all-MiniLM-L6-v2")
    spec = BackboneSpec("all-MiniLM-L6-v2")
    backbone = SentenceBackbone.load(checkpoint, spec, "cpu", "float32")
    recipe = make_recipe(checkpoint, spec, "float32")
    keys = as_key_array(map(text_key, texts))
    lengths = backbone.prepare(texts).costs

    from sentence_transformers import SentenceTransformer
    from transformers import AutoModel, AutoTokenizer

    library = SentenceTransformer(checkpoint.location, device="cpu")
    model, tokenizer = AutoModel.from_pretrained(checkpoint.location).eval(), AutoTokenizer.from_pretrained(checkpoint.location)

    def headstart() -> np.ndarray:
        with tempfile.TemporaryDirectory() as folder:
            store = FeatureStore(Path(folder) / "store")
            output = Output(None, "pooled")
            commit = lambda some, features: store.commit(recipe, some, features)  # noqa: E731
            run_loop(backbone, texts, keys, [output], "float32", commit, Quiet(), device="cpu")
            return store.read(recipe, keys, "pooled")

    def encode() -> np.ndarray:
        return library.encode(list(texts), show_progress_bar=False)

    def plain_loop() -> np.ndarray:
        return _plain_loop(model, tokenizer, texts)

    ways: dict[str, Callable[[], np.ndarray]] = {
        "headstart": headstart,
        "sentence_transformers encode": encode,
        "transformers loop, 32 a batch": plain_loop,
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    vectors = {}
    for turn in range(rounds + 1):
        for way, run in ways.items():
            began = time.perf_counter()
            vectors[way] = run()
            if turn:  # the first round warms up
                seconds[way].append(time.perf_counter() - began)
    apart = max(float(np.abs(found - vectors["headstart"]).max()) for found in vectors.values())
    median = {way: statistics.median(times) for way, times in seconds.items()}
    rows = [
        (way, f"{len(texts) / took:,.0f}", f"{sum(lengths) / took:,.0f}", f"{took / median['headstart']:.2f}x")
        for way, took in median.items()
    ]
    print(f"\n{name}: {len(texts):,} texts, {sum(lengths):,} tokens, vectors agree to {apart:.0e}\n")
    print(tables.markdown(("way", "texts/s", "tokens/s", "time against headstart"), rows))


def _plain_loop(model, tokenizer, texts: Sequence[str]) -> np.ndarray:  # type: ignore[no-untyped-def]
    parts = []
    with torch.inference_mode():
        for start in range(0, len(texts), 32):
            batch = tokenizer(
                list(texts[start : start + 32]), padding=True, truncation=True, max_length=256, return_tensors="pt"
            )
            states, mask = model(**batch).last_hidden_state, batch["attention_mask"].unsqueeze(-1)
            mean = (states * mask).sum(1) / mask.sum(1)
            parts.append(torch.nn.functional.normalize(mean, dim=1))
    return torch.cat(parts).numpy()


if __name__ == "__main__":
    main()
