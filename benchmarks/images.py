"""Images through EfficientNet-Lite0, several ways, in one run: `python -m benchmarks.images [--images N] [--rounds R]`.

The model is loaded beforehand; everything else counts (reading, decoding, transforming, forward, and for Headstart the
commit to a store on disk). The ways take turns, round by round, and a way's time is its median; processor time, that of
worker processes too, is told beside it, since that says more on a machine that is busy with other work. Two more rows say what
bounds them: the forward pass on tensors that are ready, and decoding and transforming alone. Images are CIFAR-10's of
32 x 32 pixels, and the same enlarged to a photograph's 640 x 480 and saved as JPEG; the model sees 224 x 224 of either.
"""

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from benchmarks import tables
from cache import FeatureStore, as_key_array
from extract import BackboneSpec, find_backbone
from extract.backbones.loading import autocast
from extract.backbones.timm import TimmBackbone
from extract.devices import count_workers
from extract.extractor import Quiet, make_recipe
from extract.images import ImageFile, image_keys
from extract.loop import run_loop
from extract.options import LoopOptions
from extract.outputs import Output

SOURCE = Path(__file__).parents[2] / "shared/data/cifar10_small/test"


class Files(Dataset):
    """Image files as anybody would write them down for a DataLoader."""

    def __init__(self, files: Sequence[str], transform: Callable) -> None:
        self.files = files
        self.transform = transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.transform(Image.open(self.files[index]).convert("RGB"))


def main() -> None:
    """Measure and print a table per size of image."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2], help="processes that decode, of the plain loop")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"], help="of all ways")
    parser.add_argument("--batch", type=int, default=16, help="images a batch, of all ways")
    options = parser.parse_args()
    if not SOURCE.is_dir():
        parser.exit(1, f"{SOURCE} is not here\n")
    found = sorted(map(str, SOURCE.glob("*/*.jpg")))
    files = found[:: max(1, len(found) // options.images)][: options.images]
    with tempfile.TemporaryDirectory() as folder:
        measure("32 x 32", files, options)
        measure("640 x 480", [enlarge(file, Path(folder)) for file in files], options)


def enlarge(file: str, folder: Path) -> str:
    """Save a picture at a photograph's size."""
    place = folder / f"{len(list(folder.iterdir())):04d}.jpg"
    Image.open(file).convert("RGB").resize((640, 480), Image.Resampling.BICUBIC).save(place, quality=90)
    return str(place)


def measure(name: str, files: Sequence[str], asked: argparse.Namespace) -> None:
    """Time every way on the same images and print the ratios."""
    device, precision, size = asked.device, asked.precision, asked.batch
    spec = BackboneSpec("efficientnet-lite0")
    checkpoint = find_backbone("efficientnet-lite0")
    backbone = TimmBackbone.load(checkpoint, spec, device, precision)
    recipe = make_recipe(checkpoint, spec, precision)
    samples = [ImageFile(file) for file in files]
    keys = as_key_array(image_keys(samples))
    model = backbone.model
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    ready = [torch.stack([transform(Image.open(f).convert("RGB")) for f in part]) for part in _parts(files, size)]

    def headstart(count: int | None = None) -> np.ndarray:
        with tempfile.TemporaryDirectory() as folder:
            store = FeatureStore(Path(folder) / "store")
            commit = lambda some, features: store.commit(recipe, some, features)  # noqa: E731
            options = LoopOptions(budget=size, workers=count)
            run_loop(
                backbone, samples, keys, [Output(None, "pooled")], "float32", commit, Quiet(), device=device, options=options
            )
            return np.asarray(store.read(recipe, keys, "pooled"))

    def data_loader(count: int) -> np.ndarray:
        loader = DataLoader(Files(files, transform), batch_size=size, num_workers=count, pin_memory=device != "cpu")
        return np.concatenate([forward(batch) for batch in loader])

    def forward(batch: torch.Tensor) -> np.ndarray:
        with torch.inference_mode(), autocast(device, precision):
            found = model.forward_head(model.forward_features(batch.to(device, non_blocking=True)), pre_logits=True)
            return found.float().cpu().numpy()

    ways: dict[str, Callable[[], np.ndarray | None]] = {f"headstart ({count_workers(device)} workers)": headstart}
    ours = next(iter(ways))
    ways |= {
        f"headstart, {count} workers": partial(headstart, count) for count in asked.workers if count != count_workers(device)
    }
    ways |= {f"timm + DataLoader, {count} workers": partial(data_loader, count) for count in asked.workers}
    ways |= {
        "forward on ready tensors": lambda: np.concatenate([forward(batch) for batch in ready]),
        "decoding and transforming, one process": lambda: [transform(Image.open(f).convert("RGB")) for f in files] and None,
    }
    seconds: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    vectors: dict[str, np.ndarray] = {}
    for turn in range(asked.rounds + 1):
        for way, run in ways.items():
            began, processor = time.perf_counter(), _processor_time()
            found = run()
            if turn:  # the first round warms up
                seconds[way].append((time.perf_counter() - began, _processor_time() - processor))
            if found is not None:
                vectors[way] = found
    apart = max(float(np.abs(found - vectors[ours]).max()) for found in vectors.values())
    wall, cpu = ({way: statistics.median(pair[kind] for pair in times) for way, times in seconds.items()} for kind in (0, 1))
    rows = [
        (way, f"{len(files) / wall[way]:,.0f}", f"{wall[way] / wall[ours]:.2f}x", f"{cpu[way] / cpu[ours]:.2f}x")
        for way in ways
    ]
    print(f"\n{name} pixels: {len(files):,} images, vectors agree to {apart:.0e}\n")
    print(tables.markdown(("way", "images/s", "time against headstart", "processor time"), rows), flush=True)


def _processor_time() -> float:
    """Return the seconds of processor time of this process and of those it has waited for."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def _parts(files: Sequence[str], size: int) -> list[Sequence[str]]:
    return [files[start : start + size] for start in range(0, len(files), size)]


if __name__ == "__main__":
    main()
