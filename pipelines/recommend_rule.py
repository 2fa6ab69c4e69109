"""The rule behind `headstart recommend`: from what cached features show to whether fine-tuning is likely to pay for itself.

Fine-tuning is taken to win back a share of the errors that a head on the last layer makes. The shares are what comparisons
showed (`docs/comparison.md` holds the record), not laws; so is the cost of a training step in forward passes.
"""

from dataclasses import dataclass

from heads import PairedDifference

SHARES = (0.2, 0.7)
"""Least and most of the last layer's errors that fine-tuning is expected to win back."""

LAYERS_AHEAD = 0.3
"""The least share where several layers are surely ahead of the last one: what is needed is in the backbone, further down."""

UNSURE = 0.1
"""What the least share loses where the head's own curve is still steep: so few samples say little of either."""

FEW = 10
"""Below so many samples in the median class fine-tuning may win nothing."""

STEEP, FLAT = 0.02, 0.005
"""Accuracy won by the last doubling of samples: more than the first is steep, surely less than the second is flat."""

STEP = (3.0, 7.0)
"""What a sample costs to train on, in forward passes of the extraction: backward is twice forward; the rest is the optimizer,
dropout, and arithmetic that keeps gradients."""

EPOCHS = (3, 10)
TRIALS = 3
"""Epochs of one training, and trials of the search beside which a head's own is nothing."""


@dataclass(frozen=True)
class Evidence:
    """What cached features show of a task.

    Attributes
    ----------
    samples, classes, median_class
        Labelled samples that are not test, their classes, and the samples of the median class.
    curve
        (training samples, held-out accuracy) of a head on the last layer.
    doubling
        Accuracy won by the last doubling, with its 95% interval.
    layers
        Accuracy won by several layers side by side; None where there is one output alone.
    tested
        Test samples; 0 where there are none.
    speed
        Samples a second through the frozen backbone.
    measured
        Where the speed comes from.
    """

    samples: int
    classes: int
    median_class: int
    curve: tuple[tuple[int, float], ...]
    doubling: PairedDifference
    layers: PairedDifference | None
    tested: int
    speed: float
    measured: str

    @property
    def last(self) -> float:
        """Accuracy of a head on the last layer, trained on the most samples."""
        return self.curve[-1][1]


@dataclass(frozen=True)
class Span:
    """From, to."""

    low: float
    high: float


@dataclass(frozen=True)
class Advice:
    """Whether fine-tuning is likely to pay for itself, and why.

    Attributes
    ----------
    answer
        `yes`, `no` or `cannot tell`.
    gain
        Accuracy expected above the best that heads on cached features reach.
    training, search
        Seconds of one training, and of a search of `TRIALS`.
    reasons
        A line each.
    """

    answer: str
    gain: Span
    training: Span
    search: Span
    reasons: tuple[str, ...]


def advise(evidence: Evidence, budget: float, worth: float = 0.01) -> Advice:
    """Say whether fine-tuning is likely to pay for itself.

    Parameters
    ----------
    evidence
        What cached features show.
    budget
        Seconds that fine-tuning may take.
    worth
        Accuracy below which a gain is not worth it.
    """
    reasons: list[str] = []
    gain = _gain(evidence, reasons)
    training = Span(*(evidence.samples / evidence.speed * step * epochs for step, epochs in zip(STEP, EPOCHS, strict=True)))
    by_gain = "yes" if gain.low >= worth else "no" if gain.high < worth else "cannot tell"
    reasons.append(
        f"fine-tuning is expected to change accuracy by {100 * gain.low:+.1f} to {100 * gain.high:+.1f} points against the "
        f"best head; {100 * worth:g} are asked for"
    )
    if evidence.tested and gain.high < (seen := 1.96 * ((1 - evidence.last) / evidence.tested) ** 0.5):
        reasons.append(f"{evidence.tested:,} test samples would not show it: they tell apart about {100 * seen:.1f} points")
    by_time = _by_time(evidence, training, budget, reasons)
    answer = "no" if "no" in (by_gain, by_time) else "cannot tell" if "cannot tell" in (by_gain, by_time) else "yes"
    return Advice(answer, gain, training, Span(TRIALS * training.low, TRIALS * training.high), tuple(reasons))


def _gain(evidence: Evidence, reasons: list[str]) -> Span:
    low, high = SHARES
    errors, ahead = 1 - evidence.last, 0.0
    reasons.append(
        f"a head on the last layer is wrong on {errors:.1%} of held-out samples; fine-tuning wins back a share of these"
    )
    if evidence.layers is not None:
        ahead = max(0.0, evidence.layers.mean)
        told = f"several layers change that by {_points(evidence.layers)}"
        if evidence.layers.low > 0:
            low = max(low, LAYERS_AHEAD)
            told += ": what the task needs is there, but not in the last layer, which speaks for fine-tuning"
        reasons.append(told + "; they cost no training of the backbone")
    doubling = evidence.doubling
    if doubling.low > STEEP:
        low -= UNSURE
        reasons.append(
            f"the last doubling of samples won {_points(doubling)}: more labels pay too, and the estimate is less sure"
        )
    elif doubling.high < FLAT:
        reasons.append(f"the last doubling of samples won {_points(doubling)}: more labels alone will not help the head")
    else:
        reasons.append(f"the last doubling of samples won {_points(doubling)}")
    if evidence.median_class < FEW:
        low = min(low, 0.0)
        reasons.append(f"the median class has {evidence.median_class} samples: with so few, fine-tuning may win nothing")
    return Span(low * errors - ahead, high * errors - ahead)


def _by_time(evidence: Evidence, training: Span, budget: float, reasons: list[str]) -> str:
    told = (
        f"one training of {evidence.samples:,} samples takes {_time(training.low)} to {_time(training.high)}, a search of "
        f"{TRIALS} up to {_time(TRIALS * training.high)} ({evidence.speed:,.0f} samples/s forward, {evidence.measured}; "
        f"{STEP[0]:g} to {STEP[1]:g} times that a step, {EPOCHS[0]} to {EPOCHS[1]} epochs)"
    )
    if budget < training.low:
        reasons.append(f"{told}: more than the {_time(budget)} there are")
        return "no"
    if budget < training.high:
        reasons.append(f"{told}: it may not fit into {_time(budget)}")
        return "cannot tell"
    reasons.append(f"{told}: one fits into {_time(budget)}")
    return "yes"


def _points(difference: PairedDifference) -> str:
    return f"{100 * difference.mean:+.1f} points ({100 * difference.low:+.1f} to {100 * difference.high:+.1f})"


def _time(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
