"""Importing: features computed elsewhere become rows of the store, under a recipe of their own."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xxhash

from cache import FeatureStore
from extract.backbones.imported import SCHEME
from extract.backbones.registry import find_backbone
from extract.backbones.spec import BackboneSpec
from extract.errors import SourceError
from extract.extractor import Features, extract, make_recipe
from extract.outputs import OWN
from extract.samples import Samples

ROWS = 50_000
"""Rows of one shard."""


def import_features(
    samples: Samples | Sequence[Any], features: np.ndarray, name: str, store: FeatureStore | str = "features"
) -> tuple[str, Features]:
    """Put features of samples, computed elsewhere, into the store.

    Parameters
    ----------
    samples
        Texts, or what a source gives.
    features
        `[n, d]` in the samples' order; float16 and float32 are kept, other numbers become float32. It may stay on disk.
    name
        What they are called; letters, digits, dots, dashes and underscores.
    store
        The feature store or its folder.

    Returns
    -------
    str, Features
        The backbone to name in a config or in `extract`, such as `import:my-e5@2c1f0a9b8d7e6f54`, and the features
        in the store.

    Raises
    ------
    SourceError
        If there is not one row for every sample, or a value is not finite.
    """
    samples = samples if isinstance(samples, Samples) else Samples.of(samples)
    if features.ndim != 2 or len(features) != len(samples) or not features.shape[1]:
        raise SourceError(
            f"{name}: the features are {list(features.shape)}, and there are {len(samples):,} samples; "
            "one row for every sample is expected, in the same order"
        )
    store = store if isinstance(store, FeatureStore) else FeatureStore(store)
    dtype = "float16" if features.dtype == np.float16 else "float32"
    kind = samples.kind or "text"
    admitted = samples.admit(kind)
    digest = xxhash.xxh3_64(f"{kind} {dtype} {features.shape[1]}".encode())
    for rows in _parts(admitted.rows):
        with np.errstate(over="ignore"):  # what is too large is told as not finite
            part = np.ascontiguousarray(features[rows], dtype=dtype)
        if not np.isfinite(part).all():
            row = rows[~np.isfinite(part).all(axis=1)][0]
            raise SourceError(f"{name}: the features of {samples.ids[row]} (row {row}) are not finite numbers")
        digest.update(part.tobytes())
    digest.update(admitted.keys.tobytes())
    uri = f"{SCHEME}:{name}@{digest.hexdigest()}"
    spec = BackboneSpec(uri, dtype=dtype)
    recipe = make_recipe(find_backbone(uri).for_samples(kind), spec, "float32")
    for start in range(0, len(admitted.keys), ROWS):
        keys, rows = admitted.keys[start : start + ROWS], admitted.rows[start : start + ROWS]
        fresh = store.missing(recipe, keys, [OWN])
        _, first = np.unique(keys, axis=0, return_index=True)
        chosen = np.sort(first[fresh[first]])
        if len(chosen):
            block = np.ascontiguousarray(features[rows[chosen]], dtype=dtype)
            store.commit(recipe, keys[chosen], {OWN: block}, {"imported": name})
    return uri, extract(samples, spec, store)


def _parts(rows: np.ndarray) -> list[np.ndarray]:
    return [rows[start : start + ROWS] for start in range(0, len(rows), ROWS)]
