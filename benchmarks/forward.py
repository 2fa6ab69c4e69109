"""What could make the forward pass of texts faster on a CPU: `python -m benchmarks.forward [--texts N] [--rounds R]`.

Extraction runs at the speed of the bare forward (see `benchmarks.extract`), so that only a faster forward would help. Ways to
run all-MiniLM-L6-v2 on the batches that extraction makes of the demo sentences take turns: as it is, with other attention,
through `torch.compile` (also with weights packed beforehand), and with all texts unpadded in long rows. The last row is the
matrix products alone, on the same numbers of tokens: what no way of running the model can be faster than.
"""

import argparse
import copy
import random
import statistics
import time
from collections.abc import Callable, Sequence

import torch

from benchmarks import tables
from benchmarks.extract import SOURCES
from extract import BackboneSpec, Columns, find_backbone, load_samples
from extract.backbones.base import Batch
from extract.backbones.sentence import SentenceBackbone
from extract.batching import budget_batches
from extract.devices import default_budget

PACKED = 256
"""Tokens of a row in which texts stand one after another, each attending to itself alone."""


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cpu-time", action="store_true", help="processor time on one thread: for a machine that is busy")
    options = parser.parse_args()
    clock = time.process_time if options.cpu_time else time.perf_counter
    if options.cpu_time:
        torch.set_num_threads(1)
    texts = sorted(set(load_samples(SOURCES["demo sentences"], Columns()).inputs))
    texts = random.Random(0).sample(texts, options.texts)
    backbone = SentenceBackbone.load(find_backbone("all-MiniLM-L6-v2"), BackboneSpec("all-MiniLM-L6-v2"), "cpu", "float32")
    prepared = backbone.prepare(texts)
    batches = [
        backbone.collate([prepared.samples[row] for row in rows])
        for rows in budget_batches(prepared.costs, default_budget("tokens", "cpu"))
    ]
    model = backbone.model
    rows = _pack(prepared.samples)
    eager = copy.deepcopy(model)
    eager.set_attn_implementation("eager")
    ways: dict[str, Callable[[], object]] = {
        "as it is (sdpa attention)": lambda: _run(model, batches),
        "eager attention": lambda: _run(eager, batches),
        "torch.compile(dynamic=True)": _compiled(model, batches, freezing=False),
        "the same, weights packed": _compiled(model, batches, freezing=True),
        f"unpadded, in rows of {PACKED} tokens": lambda: _run(model, rows),
        "matrix products alone": lambda: _products(model, batches),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(options.rounds + 1):
        for way, run in ways.items():
            began = clock()
            run()
            if turn:  # the first round warms up, and compiles
                seconds[way].append(clock() - began)
    median = {way: statistics.median(times) for way, times in seconds.items()}
    first = next(iter(median.values()))
    tokens, places = sum(prepared.costs), sum(batch["input_ids"].numel() for batch in batches)
    print(f"\n{len(texts):,} texts, {tokens:,} tokens in {len(batches)} batches; {1 - tokens / places:.1%} of them padding\n")
    lines = [(way, f"{tokens / took:,.0f}", f"{took / first:.2f}x") for way, took in median.items()]
    print(tables.markdown(("way", "tokens/s", "time"), lines), flush=True)


@torch.inference_mode()
def _run(model: torch.nn.Module, batches: Sequence[Batch]) -> None:
    for batch in batches:
        model(**batch)


def _compiled(model: torch.nn.Module, batches: Sequence[Batch], freezing: bool) -> Callable[[], None]:
    from torch._inductor import config

    compiled = copy.deepcopy(model)
    compiled.compile(dynamic=True)

    def run() -> None:
        with config.patch(freezing=freezing):
            _run(compiled, batches)

    return run


def _pack(samples: Sequence[dict[str, list[int]]]) -> list[Batch]:
    """Put texts one after another into rows, a row a batch."""
    rows: list[list[list[int]]] = [[]]
    for sample in samples:
        if sum(map(len, rows[-1])) + len(sample["input_ids"]) > PACKED:
            rows.append([])
        rows[-1].append(sample["input_ids"])
    batches = []
    for row in rows:
        lengths = torch.tensor([len(ids) for ids in row])
        owner = torch.repeat_interleave(torch.arange(len(row)), lengths)
        batches.append(
            {
                "input_ids": torch.tensor([token for ids in row for token in ids])[None],
                "position_ids": torch.cat([torch.arange(length) for length in lengths.tolist()])[None],
                "attention_mask": (owner[:, None] == owner)[None, None],
            }
        )
    return batches


@torch.inference_mode()
def _products(model: torch.nn.Module, batches: Sequence[Batch]) -> None:
    linear = [module for name, module in model.named_modules() if isinstance(module, torch.nn.Linear) and "pooler" not in name]
    for batch in batches:
        tokens = batch["input_ids"].numel()
        inputs = {module.in_features: torch.ones(tokens, module.in_features) for module in linear}
        for module in linear:
            module(inputs[module.in_features])


if __name__ == "__main__":
    main()
