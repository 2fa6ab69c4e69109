"""Heads around any torch module of the user's."""

import copy
import dataclasses
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from heads.batches import FeatureBlocks
from heads.limits import Limits
from heads.linear import LinearClassifier
from heads.trained import TrainedClassifier, TrainedHead, TrainedRegressor
from heads.training import Data, outputs

WIDTHS = ("input_dim", "in_features", "in_dim")
OUTPUTS = ("num_classes", "out_features", "output_dim", "out_dim")


@dataclass(eq=False, repr=False, kw_only=True)
class _Module(TrainedHead):
    """Which module, and what it takes; shared by the classifier and the regressor."""

    batch_size: int = 64
    module: Any = LinearClassifier
    module_params: Mapping[str, Any] | None = None
    takes_tokens: bool = False

    _parameter_constraints: ClassVar[Limits] = {"module_params": [Mapping, None], "takes_tokens": ["boolean"]}

    def _build(self) -> nn.Module:
        if isinstance(self.module, nn.Module):
            return copy.deepcopy(self.module)
        if not callable(self.module):
            raise ValueError(f"`module` is {self.module!r}; give a torch module, its class, or a function that makes it")
        params = dict(self.module_params or {})
        takes = inspect.signature(self.module).parameters
        for names, value in ((WIDTHS, self.n_features_in_), (OUTPUTS, self._width())):
            params |= {name: value for name in names if name in takes and name not in params}
        built = self.module(**params)
        if not isinstance(built, nn.Module):
            raise ValueError(f"`module` made a {type(built).__name__}, which is no torch module")
        return built

    def _check_module(self, data: Data) -> None:
        assert isinstance(data.features, FeatureBlocks)
        some = dataclasses.replace(data.features, rows=data.features.rows[:2])
        try:
            shape = outputs(self.module_, some).shape
        except Exception as error:  # whatever a module of the user's raises
            told = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ValueError(f"`module` cannot take features of width {self.n_features_in_}: {told}") from error
        if tuple(shape) != (len(some), self._width()):
            what = "one logit a class" if isinstance(self, TrainedClassifier) else "one number a target"
            raise ValueError(
                f"`module` gives {list(shape)} for {len(some)} samples, where {[len(some), self._width()]} is needed: {what}"
            )


@dataclass(eq=False, repr=False, kw_only=True)
class TorchHead(_Module, TrainedClassifier):
    """Any torch module as a classifier.

    Parameters
    ----------
    module
        A module that gives logits `[b, c]` for features `[b, d]` (or for tokens `[b, t, d]` and their mask `[b, t]`): a copy of
        it is trained, from the weights that it has. Or its class, or a function that makes it. Parameters that take no
        gradient stay as they are.
    module_params
        What the class is called with. Where it takes an `input_dim` (`in_features`, `in_dim`) or `num_classes` (`out_features`,
        `output_dim`, `out_dim`) that is not among them, the data say what they are.
    takes_tokens
        Whether X is tokens, as in `AttentionHead`.
    others
        See `TrainedHead` and `TrainedClassifier`.
    """


@dataclass(eq=False, repr=False, kw_only=True)
class TorchRegressor(_Module, TrainedRegressor):
    """Any torch module as a regressor; parameters as in `TorchHead`, and `loss` as in `TrainedRegressor`."""
