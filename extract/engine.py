"""Engines: where backbones run."""

from dataclasses import dataclass

from extract.errors import NoSuchNameError

KINDS = ("local", "torchrun", "ray")


@dataclass(frozen=True)
class Engine:
    """Where backbones run: nothing here changes a feature but by rounding. No part of a recipe.

    Attributes
    ----------
    kind
        `local`, in this process; `torchrun`, in this process as one of the ranks that `torchrun` or `srun` has started, which
        are recognised in any case; `ray`, in actors on a Ray cluster.
    processes
        How many processes run the backbone; None for one a GPU, or a single one where there is none. Whoever starts ranks
        counts them.
    address
        Of the Ray cluster; None for the one in RAY_ADDRESS, the one of this machine, or else a new one on this machine alone.
    """

    kind: str = "local"
    processes: int | None = None
    address: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise NoSuchNameError(f"engine {self.kind!r} is not one of {', '.join(KINDS)}")

    @classmethod
    def of(cls, engine: "Engine | str") -> "Engine":
        """Take an engine, or the name of one."""
        return engine if isinstance(engine, Engine) else cls(engine)
