"""Which engine solves which kind of head."""

from typing import Any

from heads.greedy import GreedyHead
from heads.group_lasso import GroupLassoHead
from heads.lda import LDAHead
from heads.linear import LinearHead
from heads.mlp import MLPHead
from heads.neighbours import KNNHead, KNNRegressor
from heads.ridge import RidgeHead, RidgeRegressor
from heads.solvers.decomposed import LDAEngine, RidgeEngine
from heads.solvers.engine import Engine
from heads.solvers.mlp import MLPEngine
from heads.solvers.neighbours import NeighboursEngine
from heads.solvers.prepared import PreparedEngine
from heads.solvers.selecting import SelectingEngine

ENGINES: dict[type, type[Engine]] = {
    LinearHead: PreparedEngine,
    MLPHead: MLPEngine,
    KNNHead: NeighboursEngine,
    KNNRegressor: NeighboursEngine,
    RidgeHead: RidgeEngine,
    RidgeRegressor: RidgeEngine,
    LDAHead: LDAEngine,
    GroupLassoHead: SelectingEngine,
    GreedyHead: SelectingEngine,
}


def find_engine(estimator: Any) -> Engine | None:
    """Return the engine of a kind of head, or None. Subclasses may fit in ways of their own, so they have none."""
    engine = ENGINES.get(type(estimator))
    return None if engine is None else engine()
