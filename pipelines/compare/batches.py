"""Raw samples as the training loop takes them, in batches of similar length, prepared once."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipelines.models.backbone_module import BackboneModule
from pipelines.models.sample_batches import Augment, SampleBatches


def prepare_batches(
    backbone: BackboneModule, inputs: Sequence[Any], batch: int, augment: Augment | None = None
) -> tuple[SampleBatches, np.ndarray]:
    """Prepare samples once: texts become tokens; images stay files, and are decoded whenever they are drawn.

    Returns
    -------
    batches, order
        The samples sorted by cost, and which of `inputs` each is `[n]`.
    """
    adapter = backbone.adapter
    if adapter.decode is not None:
        costs = np.ones(len(inputs), dtype=np.int64)
        return SampleBatches(backbone.preprocess, list(inputs), batch, augment, costs), np.arange(len(inputs))
    prepared = adapter.prepare(inputs)
    costs = np.asarray(prepared.costs, dtype=np.int64)
    order = np.argsort(costs, kind="stable")
    items = [prepared.samples[place] for place in order.tolist()]
    return SampleBatches(adapter.collate, items, batch, costs=costs[order]), order
