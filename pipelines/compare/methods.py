"""The methods that are compared: which can be run here, and the values that each tries."""

import importlib.util
import math
from typing import Any

import numpy as np

from pipelines.compare_config import CACHED, METHODS, CompareChoice, Method
from pipelines.errors import UsageError

RATES: dict[str, dict[Method, tuple[float, float]]] = {
    "text": {"full": (2e-5, 2e-4), "partial": (5e-5, 5e-4), "lpft": (2e-5, 2e-4), "lora": (2e-4, 2e-3)},
    "image": {"full": (5e-5, 1e-3), "partial": (1e-4, 2e-3), "lpft": (5e-5, 1e-3), "lora": (2e-4, 5e-3)},
}
"""Ends of the range of the top block's learning rate, by the kind of samples. The tables of Devlin et al. 2019 (2e-5 to 5e-5)
and Hu et al. 2022 (2e-4 to 5e-4) lie inside; smaller encoders take larger rates."""

PENALTIES = (1e-3, 1.0)
"""Ends of the range of `C` on standardised features."""
USUAL_EPOCHS = 10


def runnable_methods(choice: CompareChoice, where: str) -> tuple[Method, ...]:
    """Return the methods to compare.

    Raises
    ------
    UsageError
        If LoRA is asked for by name and `peft` is not installed.
    """
    here = importlib.util.find_spec("peft") is not None
    if choice.methods is None:
        return tuple(method for method in METHODS if here or method != "lora")
    if "lora" in choice.methods and not here:
        raise UsageError(f"{where}: `lora` needs peft: pip install 'headstart[lora]'")
    return tuple(dict.fromkeys(choice.methods))


def trial_params(method: Method, choice: CompareChoice, kind: str) -> list[dict[str, Any]]:
    """Return the parameters of a method's trials: learning rates, or penalties of a head on cached features.

    Parameters
    ----------
    method, choice
        Which, and what the config says.
    kind
        `text`, `image` or `image and text`.
    """
    if method in CACHED:
        return [{"C": value} for value in choice.penalties or spread(*PENALTIES, choice.trials)]
    ends = RATES["text" if kind == "text" else "image"][method]
    return [{"lr": value} for value in choice.learning_rates.get(method) or spread(*ends, choice.trials)]


def training_length(choice: CompareChoice, samples: int) -> tuple[int, int]:
    """Return the epochs at most, and the patience, of a training on so many samples: on few more (Mosbach et al. 2021)."""
    steps = math.ceil(samples / choice.batch_size)
    usual = max(USUAL_EPOCHS, math.ceil(choice.min_steps / steps))
    return choice.epochs or usual, math.ceil(choice.patience * usual / USUAL_EPOCHS)


def spread(low: float, high: float, count: int) -> list[float]:
    """Return so many values between two, evenly in their logarithm and rounded to two digits; of one, the middle."""
    exponents = np.linspace(np.log10(low), np.log10(high), count) if count > 1 else [np.log10(low * high) / 2]
    return [float(f"{10**exponent:.2g}") for exponent in exponents]
