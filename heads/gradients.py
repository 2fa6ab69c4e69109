"""The gradient monitor: which parameters learn, which do not, and which are about to run away."""

from dataclasses import dataclass

import numpy as np
import torch

from heads.callbacks import Callback, TrainingState


@dataclass(frozen=True)
class GradientReport:
    """What became of a parameter.

    Attributes
    ----------
    name
        As in `named_parameters`.
    state
        `trained`; `dead`: its gradient was zero, or missing, in every step; `exploding`: its norm left all bounds; `frozen`: it
        takes no gradient, and its value was seen not to change.
    median_norm, largest_norm
        Of the gradient over the steps, before clipping.
    change
        Norm of the parameter's change over the training, by the norm that it began with.
    """

    name: str
    state: str
    median_norm: float
    largest_norm: float
    change: float


class GradientMonitor(Callback):
    """Follow every parameter's gradient norm; afterwards `reports` says what became of each.

    Parameters
    ----------
    explosion
        A gradient explodes where its norm is not finite, or so many times its own median.

    Raises
    ------
    RuntimeError
        At the end of the training, if a frozen parameter or a buffer of a frozen module changed.
    """

    def __init__(self, explosion: float = 1e3) -> None:
        self.explosion = explosion
        self.norms: dict[str, list[float]] = {}
        self.reports: list[GradientReport] = []

    def on_train_begin(self, state: TrainingState) -> None:
        """Keep a copy of every value."""
        self.norms = {name: [] for name, parameter in state.model.named_parameters() if parameter.requires_grad}
        self._before = {name: value.detach().clone() for name, value in state.model.state_dict().items()}

    def on_gradients(self, state: TrainingState) -> None:
        """Note the norms."""
        parameters = [(name, parameter) for name, parameter in state.model.named_parameters() if parameter.requires_grad]
        zero = torch.zeros(())
        norms = [zero if parameter.grad is None else parameter.grad.norm().cpu() for _, parameter in parameters]
        for (name, _), norm in zip(parameters, torch.stack(norms).tolist(), strict=True):
            self.norms[name].append(norm)

    def on_train_end(self, state: TrainingState) -> None:
        """Compare with the copies and report."""
        trainable = dict(state.model.named_parameters())
        self.reports = []
        for name, parameter in trainable.items():
            before = self._before[name]
            change = float((parameter.detach() - before).norm() / before.norm().clamp(min=1e-12))
            self.reports.append(self._report(name, parameter.requires_grad, change))
        moved = [report.name for report in self.reports if report.state == "frozen" and report.change != 0]
        moved += _moved_buffers(state.model, self._before)
        if moved:
            raise RuntimeError(f"frozen, and yet changed by the training: {', '.join(moved)}")
        del self._before

    def named(self, state: str) -> list[str]:
        """Return the names of the parameters in a state."""
        return [report.name for report in self.reports if report.state == state]

    def _report(self, name: str, trained: bool, change: float) -> GradientReport:
        norms = np.array(self.norms.get(name, [])) if trained else np.zeros(0)
        finite = norms[np.isfinite(norms)]
        median = float(np.median(finite)) if len(finite) else 0.0
        largest = float(norms.max()) if len(norms) else 0.0
        if not trained:
            state = "frozen"
        elif len(finite) < len(norms) or largest > self.explosion * median > 0:
            state = "exploding"
        else:
            state = "trained" if largest > 0 else "dead"
        return GradientReport(name, state, median, largest, change)


def _moved_buffers(model: torch.nn.Module, before: dict[str, torch.Tensor]) -> list[str]:
    """Return buffers that changed in modules all of whose parameters are frozen, such as a batch norm's running mean."""
    moved = []
    for prefix, module in model.named_modules():
        own = list(module.parameters(recurse=False))
        if own and not any(parameter.requires_grad for parameter in own):
            for name, buffer in module.named_buffers(prefix, recurse=False):
                if name in before and not torch.equal(buffer, before[name]):
                    moved.append(name)
    return moved
