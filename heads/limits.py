"""What values parameters of heads may have, in the form in which scikit-learn's estimators declare theirs.

A class says it of its own parameters as `_parameter_constraints`; those of the classes it is made of are added.
"""

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import (
    Interval,
    InvalidParameterError,
    Options,
    StrOptions,
    validate_parameter_constraints,
)

from heads.devices import is_usable

Limits = dict[str, list[Any]]


class EachWithin(Interval):
    """A list of numbers, each of them in an interval."""

    def is_satisfied_by(self, value: Any) -> bool:
        """Tell whether a value is such a list."""
        return (
            isinstance(value, Sequence | np.ndarray) and not isinstance(value, str) and all(map(super().is_satisfied_by, value))
        )

    def __str__(self) -> str:
        return f"a list, each element of it {super().__str__()}"


class UsableDevice(StrOptions):
    """`auto`, or a device that torch can use here."""

    def __init__(self) -> None:
        super().__init__({"auto"})

    def is_satisfied_by(self, value: Any) -> bool:
        """Tell whether a value is such a device."""
        return isinstance(value, str | torch.device) and is_usable(str(value))

    def __str__(self) -> str:
        return "`auto`, or a device that torch can use here, such as cpu"


ABOVE_ZERO = Interval(Real, 0, None, closed="right")
FROM_ZERO = Interval(Real, 0, None, closed="left")
FROM_ONE = Interval(Integral, 1, None, closed="left")
FOREVER = Options(Real, {np.inf})
SHARE = Interval(Real, 0, 1, closed="both")
BELOW_ONE = Interval(Real, 0, 1, closed="left")
PENALTY = [ABOVE_ZERO]
CLASS_WEIGHT = [Mapping, StrOptions({"balanced"}), None]
DEVICE = [UsableDevice()]
LISTED = ["array-like", None]
WIDTHS = EachWithin(Integral, 1, None, closed="left")


def one_of(*names: str) -> StrOptions:
    """Return the limit of a parameter that is one of some names."""
    return StrOptions(set(names))


def check_parameters(head: BaseEstimator) -> None:
    """See that a head's parameters may have their values, as `fit` begins.

    Raises
    ------
    InvalidParameterError
        A `ValueError` of scikit-learn's, with what the first that may not may be.
    """
    validate_parameter_constraints(declared(type(head)), head.get_params(deep=False), caller_name=type(head).__name__)


def is_allowed(head: BaseEstimator) -> bool:
    """Whether `check_parameters` would let a head pass."""
    try:
        check_parameters(head)
    except InvalidParameterError:
        return False
    return True


def check_value(cls: type[BaseEstimator], kind: str, name: str, value: Any) -> None:
    """See that a head's parameter may have a value; one that nothing is declared of may have any.

    Raises
    ------
    ValueError
        If it may not, with what it may be.
    """
    limits = declared(cls)
    if name not in limits:
        return
    try:
        validate_parameter_constraints({name: limits[name]}, {name: value}, caller_name=cls.__name__)
    except InvalidParameterError as error:
        raise ValueError(f"`{name}` of {kind} must be {str(error).partition(' must be ')[2].rstrip('.')}") from error


def declared(cls: type[BaseEstimator]) -> Limits:
    """Return the limits of a head's parameters, those of the classes that it is made of among them."""
    found: Limits = {}
    for part in reversed(cls.__mro__):
        found |= vars(part).get("_parameter_constraints", {})
    return found
