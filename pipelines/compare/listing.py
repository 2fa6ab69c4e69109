"""What a person sees of a comparison in the terminal."""

from typing import Any

from rich.text import Text

from pipelines import console
from pipelines.compare.costs import SWEEP


def show_comparison(found: dict[str, Any]) -> None:
    """Show a comparison's tables, size by size, and where everything is."""
    for size in dict.fromkeys(row["size"] for row in found["standings"]):
        rows = [row for row in found["standings"] if row["size"] == size]
        what = "all training samples" if size == "all" else f"{size} samples a class"
        title = f"{what}: {rows[0]['labelled']:,.0f} labelled, {len(rows[0]['seeds'])} seed{'s' * (len(rows[0]['seeds']) > 1)}"
        console.out.print(console.table(_SCORES, [_scores(row) for row in rows], title, (1, 3)))
    console.out.print(console.table(_COSTS, [_costs(row) for row in found["standings"]], "Costs", range(2, 10)))
    for size, share in found["closed"].items():
        console.out.print(f"{_of(size)}: several layers close {share:.0%} of the gap from the last layer to full fine-tuning")
    if any(row["costs"]["energy"] is None for row in found["standings"]):
        console.out.print(Text("energy cannot be measured here (neither NVML nor a RAPL counter that may be read)", "dim"))
    console.out.print(
        Text.assemble("comparison: ", (found["run"], "bold"), f"  (open {found['run']}/comparison.html)"), soft_wrap=True
    )


_SCORES = ("method", "accuracy", "95% interval", "F1, macro", "95% interval", "to full fine-tuning", "fast and good")
_COSTS = (
    "method", "samples", "extraction", "search", "training", "total", f"a trial of {SWEEP}", "memory", "learns", "epochs",
)  # fmt: skip


def _of(size: str) -> str:
    return "on all samples" if size == "all" else f"with {size} samples a class"


def _scores(row: dict[str, Any]) -> tuple[Any, ...]:
    accuracy, f1 = row["test"]["accuracy"], row["test"]["f1_macro"]
    against = row["against"]
    told = "" if against is None else "{mean:+.4f} ({low:+.4f} to {high:+.4f})".format(**against["accuracy"])
    return (
        row["method"],
        Text(f"{accuracy['value']:.4f}", "bold"),
        f"{accuracy['low']:.4f} to {accuracy['high']:.4f}",
        f"{f1['value']:.4f}",
        f"{f1['low']:.4f} to {f1['high']:.4f}",
        told,
        Text("yes", "green") if row["on_front"] else "",
    )


def _costs(row: dict[str, Any]) -> tuple[Any, ...]:
    costs = row["costs"]
    took = costs["seconds"]
    return (
        row["method"],
        str(row["size"]),
        *(console.seconds(took[name]) for name in ("extraction", "search", "training", "total")),
        console.seconds(costs["amortised"]),
        console.size(int(costs["memory"]["device"] or costs["memory"]["process"])),
        f"{costs['trainable']:,.0f}",
        "" if costs["epochs"] is None else f"{costs['best_epoch']:.0f} of {costs['epochs']:.0f}",
    )
