"""What a person sees of a comparison in the terminal."""

from typing import Any

from rich.text import Text

from pipelines import console, tables


def show_comparison(found: dict[str, Any]) -> None:
    """Show a comparison's tables, size by size, and where everything is."""
    for size in dict.fromkeys(row["size"] for row in found["standings"]):
        rows = [row for row in found["standings"] if row["size"] == size]
        seeds = max(len(row["seeds"]) for row in rows)
        title = f"Scores {_of(size)}: {rows[0]['labelled']:,.0f} labelled, {seeds} seed{'s' * (seeds > 1)}"
        console.out.print(tables.table(_SCORES, [_scores(row) for row in rows], title, (1, 3)))
        console.out.print(tables.table(_COSTS, [_costs(row) for row in rows], f"Costs {_of(size)}", range(1, 8)))
    console.out.print(Text("* no other method is both as accurate and as fast", "dim"))
    for size, share in found["closed"].items():
        console.out.print(f"{_of(size)}, several layers close {share:.0%} of the gap from the last layer to full fine-tuning")
    if any(row["costs"]["energy"] is None for row in found["standings"]):
        console.out.print(Text("energy cannot be measured here (neither NVML nor a RAPL counter that may be read)", "dim"))
    console.out.print(
        Text.assemble("comparison: ", (found["run"], "bold"), f"  (open {found['run']}/comparison.html)"), soft_wrap=True
    )


_SCORES = ("method", "accuracy", "95% interval", "F1, macro", "against full, 95% interval")
_COSTS = ("method", "extraction", "search", "training", "total", "memory", "learns", "epochs")


def _of(size: str) -> str:
    return "on all samples" if size == "all" else f"on {size} samples a class"


def _scores(row: dict[str, Any]) -> tuple[Any, ...]:
    accuracy = row["test"]["accuracy"]
    against = row["against"]
    told = "" if against is None else "{mean:+.4f} ({low:+.4f} to {high:+.4f})".format(**against["accuracy"])
    return (
        row["method"] + (" *" if row["on_front"] else ""),
        Text(f"{accuracy['value']:.4f}", "bold"),
        f"{accuracy['low']:.4f} to {accuracy['high']:.4f}",
        f"{row['test']['f1_macro']['value']:.4f}",
        told,
    )


def _costs(row: dict[str, Any]) -> tuple[Any, ...]:
    costs = row["costs"]
    took = costs["seconds"]
    return (
        row["method"],
        *(console.seconds(took[name]) for name in ("extraction", "search", "training", "total")),
        console.size(int(costs["memory"]["device"] or costs["memory"]["process"])),
        f"{costs['trainable']:,.0f}",
        "" if costs["epochs"] is None else f"{costs['best_epoch']:.0f} of {costs['epochs']:.0f}",
    )
