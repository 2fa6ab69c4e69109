"""What `headstart cache` does and prints: a store's contents and upkeep, as JSON values and as tables for people."""

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from cache import FeatureStore, Recipe, StoreError
from cache.maintenance import collect, compact, shard_files, verify
from cache.place import is_url
from cache.table import count_references, describe_table
from cache.transfer import Transfer, export_store, import_store
from pipelines.console import err, note, out, print_json, size
from pipelines.errors import UsageError
from pipelines.recipe_differences import brief, differences
from pipelines.tables import table

__all__ = ["print_json"]

T = TypeVar("T")

DEFAULT_STORE = "features"


def list_store(folder: str) -> dict[str, Any]:
    """Return what `headstart cache ls --json` prints; the default store holds nothing where it is not there yet."""
    store = FeatureStore(folder) if folder == DEFAULT_STORE else _existing(folder)
    known = store.recipes()
    recipes = []
    for holding in map(store.holding, known):
        recipes.append(
            {
                "id": holding.recipe.id,
                "backbone": holding.recipe.backbone,
                "rows": holding.rows,
                "shards": holding.shards,
                "bytes": holding.bytes,
                "outputs": list(holding.outputs),
                "boundary": _boundary(holding.recipe),
                "differs": differences(holding.recipe, known),
                "quarantined": _quarantined(store, holding.recipe),
            }
        )
    tables = []
    for path in store.tables():
        try:
            about = describe_table(path)
            state = about.origin.state() if about.origin else "no file"
            tables.append({"file": path.name, "name": about.name, "rows": about.rows, "state": state})
        except StoreError as error:
            tables.append({"file": path.name, "name": path.stem, "rows": None, "state": "damaged", "reason": str(error)})
    return {"recipes": recipes, "tables": tables}


def describe_recipe(folder: str, start: str) -> dict[str, Any]:
    """Return what `headstart cache show --json` prints."""
    store = _existing(folder)
    holding = store.holding(_find_recipe(store, start))
    keys = store.keys(holding.recipe)
    return {
        "id": holding.recipe.id,
        "recipe": holding.recipe.to_dict(),
        "rows": holding.rows,
        "shards": holding.shards,
        "bytes": holding.bytes,
        "outputs": [{"name": name, "rows": rows, "width": width} for name, (rows, width) in holding.outputs.items()],
        "tables": [{"file": path.name, "rows": count_references(path, keys)} for path in store.tables()],
    }


def verify_store(folder: str) -> dict[str, Any]:
    """Check a store; return what `headstart cache verify --json` prints."""
    store = _existing(folder)
    with _progress("checking", sum(map(store.place.size, shard_files(store)))) as advance:
        found = verify(store, advance)
    damaged = [{"file": store.called(path), "reason": reason} for path, reason in found.damaged.items()]
    aside = sum(_quarantined(store, recipe) for recipe in store.recipes())
    return {"shards": found.shards, "damaged": damaged, "quarantined": aside}


def collect_store(
    folder: str, dry_run: bool, drop_recipes: Sequence[str], drop_tables: Sequence[str], drop_boundaries: bool = False
) -> dict[str, Any]:
    """Remove what is not wanted; return what `headstart cache gc --json` prints."""
    store = _existing(folder)
    dropped = _chosen(store, drop_recipes)
    if drop_boundaries:
        dropped += [recipe for recipe in store.recipes() if _boundary(recipe) is not None]
    done = collect(store, dry_run, dropped, [_find_table(store, name) for name in drop_tables])
    return {
        "removed_shards": done.removed_shards,
        "rewritten_shards": done.rewritten_shards,
        "removed_tables": [path.name for path in done.removed_tables],
        "freed_bytes": done.freed_bytes,
        "dry_run": dry_run,
        "busy": done.busy,
        "young_shards": done.young_shards,
    }


def compact_store(folder: str, starts: Sequence[str], dry_run: bool) -> dict[str, Any]:
    """Join small shards; return what `headstart cache compact --json` prints."""
    store = _existing(folder)
    chosen = _chosen(store, starts) or store.recipes()
    recipes = []
    with _progress("joining", sum(store.holding(recipe).bytes for recipe in chosen)) as advance:
        for recipe in chosen:
            held = store.holding(recipe).bytes
            done = compact(store, recipe, dry_run)
            advance(held)
            recipes.append(
                {"id": recipe.id, "shards_before": done.before, "shards_after": done.after, "dropped_rows": done.dropped_rows}
            )
    return {"recipes": recipes, "dry_run": dry_run}


def export_features(folder: str, destination: str, starts: Sequence[str]) -> dict[str, Any]:
    """Copy features out; return what `headstart cache export --json` prints."""
    store = _existing(folder)
    chosen = _chosen(store, starts) or store.recipes()
    with _progress("exporting", sum(store.holding(recipe).bytes for recipe in chosen)) as advance:
        return _told(export_store(store, destination, chosen, on_file=advance))


def import_features(folder: str, source: str) -> dict[str, Any]:
    """Copy features in; return what `headstart cache import --json` prints."""
    if not is_url(source) and not Path(source).exists():
        raise UsageError(f"{source}: there is no such store or archive")
    with _progress("importing", None) as advance:
        return _told(import_store(FeatureStore(folder), source, advance))


def show_listing(store: str, listing: dict[str, Any]) -> None:
    """Show what a store holds."""
    rows = [
        (
            r["id"][:12],
            r["backbone"] + "".join(f"\n  {name} {brief(value)}" for name, value in r["differs"].items() if value is not None),
            f"{r['rows']:,}",
            ", ".join(r["outputs"]),
            f"{r['shards']:,}",
            size(r["bytes"]),
        )
        for r in listing["recipes"]
    ]
    if not rows:
        out.print(f"{store} holds no features that can be used; `headstart extract CONFIG` puts some there")
        return
    out.print(table(("recipe", "backbone", "rows", "outputs", "shards", "size"), rows, f"Features in {store}", (2, 4, 5)))
    tables = [
        (t["file"].removesuffix(".parquet"), "?" if t["rows"] is None else f"{t['rows']:,}", _state(t["state"]))
        for t in listing["tables"]
    ]
    out.print(table(("table", "rows", "its file"), tables, "Tables that refer to them", (1,)))
    for recipe in listing["recipes"]:
        if recipe["quarantined"]:
            note(f"{recipe['id'][:12]} has {recipe['quarantined']} damaged shards in quarantine")
    for entry in listing["tables"]:
        if "reason" in entry:
            note(entry["reason"])


def show_recipe(content: dict[str, Any]) -> None:
    """Show one recipe."""
    fields = [("id", content["id"])]
    for name, value in content["recipe"].items():
        fields += [(f"{name}.{key}", part) for key, part in value.items()] if isinstance(value, dict) else [(name, value)]
    fields += [("rows", f"{content['rows']:,}"), ("shards", f"{content['shards']:,}"), ("size", size(content["bytes"]))]
    out.print(table(("field", "value"), fields, prose=(1,)))
    outputs = [(o["name"], f"{o['rows']:,}", o["width"]) for o in content["outputs"]]
    out.print(table(("output", "rows", "width"), outputs, right=(1, 2)))
    counts = ((t["file"], "damaged" if t["rows"] is None else f"{t['rows']:,}") for t in content["tables"])
    tables = [(file.removesuffix(".parquet"), count) for file, count in counts]
    out.print(table(("table", "refers to rows"), tables, right=(1,)))


def show_verification(found: dict[str, Any]) -> None:
    """Show what a check of every byte found."""
    for entry in found["damaged"]:
        err.print(Text("damaged: ", "bold red") + Text(entry["reason"]), soft_wrap=True)
    fine = "everything holds" if not found["damaged"] else f"{len(found['damaged'])} files are damaged"
    out.print(f"{found['shards']:,} shards checked: {fine}")
    if found["quarantined"]:
        note(f"{found['quarantined']:,} damaged shards stand in quarantine; `headstart extract` computes again what they held")


def show_collection(done: dict[str, Any]) -> None:
    """Show what was removed."""
    verb = "would be" if done["dry_run"] else "were"
    out.print(
        f"{done['removed_shards']:,} shards and {len(done['removed_tables']):,} tables {verb} removed, "
        f"{done['rewritten_shards']:,} shards {verb} rewritten: {size(done['freed_bytes'])}"
    )
    for recipe in done["busy"]:
        note(f"{recipe[:12]} was left alone: a job is at work on it")
    if done["young_shards"]:
        note(f"{done['young_shards']:,} shards were left alone: they were put within a day, perhaps by a job that is at work")
    if done["dry_run"]:
        out.print("nothing was changed; --yes does it", style="dim")


def show_compaction(done: dict[str, Any]) -> None:
    """Show what became of the shards."""
    rows = [
        (r["id"][:12], f"{r['shards_before']:,}", f"{r['shards_after']:,}", f"{r['dropped_rows']:,}") for r in done["recipes"]
    ]
    title = "Shards, if they were joined" if done["dry_run"] else "Shards"
    out.print(table(("recipe", "before", "after", "rows held twice"), rows, title, (1, 2, 3)))


def show_transfer(done: dict[str, Any], where: str) -> None:
    """Show what was copied."""
    out.print(
        f"{done['shards']:,} shards and {done['tables']:,} tables of {len(done['recipes']):,} recipes, "
        f"{size(done['bytes'])}, {where}; {done['present']:,} shards were there already"
    )
    for entry in done["refused"]:
        note(f"refused {entry['reason']}")


def _existing(folder: str) -> FeatureStore:
    store = FeatureStore(folder)
    if not store.exists() and (is_url(folder) or not store.path.exists()):
        raise UsageError(f"{folder}: there is no such store; name it with --store")
    return store


def _chosen(store: FeatureStore, starts: Sequence[str]) -> list[Recipe]:
    return [_find_recipe(store, start) for start in starts]


def _quarantined(store: FeatureStore, recipe: Recipe) -> int:
    """Count the damaged shards of a recipe that were set aside."""
    return sum(path.suffix == ".h5" for path in store.place.listed(store.folder(recipe) / "quarantine"))


def _find_recipe(store: FeatureStore, start: str) -> Recipe:
    return _find(store, "recipe", start, {recipe.id: recipe for recipe in store.recipes()})


def _find_table(store: FeatureStore, start: str) -> Path:
    return _find(store, "table", start, {path.name: path for path in store.tables()})


def _find(store: FeatureStore, what: str, start: str, known: Mapping[str, T]) -> T:
    """Return the one thing in a store whose name begins so; of a beginning that none has, tell the nearest name."""
    found = [name for name in known if name.startswith(start)]
    if len(found) == 1:
        return known[found[0]]
    whole = {name[: len(start)]: name for name in known}
    near = difflib.get_close_matches(start, whole, n=1)
    hint = f"did you mean `{whole[near[0]]}`?" if near and not found else "`headstart cache ls` lists them"
    raise UsageError(f"{store.name}: {len(found)} {what}s begin with `{start}`; {hint}")


def _boundary(recipe: Recipe) -> str | None:
    """Return the highest of the blocks whose states these are; None for a backbone's features."""
    found: str | None = recipe.preprocessing.get("boundary")
    return found


def _told(transfer: Transfer) -> dict[str, Any]:
    refused = [{"file": file, "reason": reason} for file, reason in transfer.refused.items()]
    return {**vars(transfer), "refused": refused}


def _state(state: str) -> Text:
    shown = {
        "current": Text("as it was", "green"),
        "changed": Text("changed since; extract again to follow it", "yellow"),
        "gone": Text("gone", "yellow"),
        "damaged": Text("the table is damaged", "red"),
    }
    return shown.get(state, Text("not read from a file", "dim"))


@contextmanager
def _progress(title: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a bar of bytes on standard error; give what moves it on."""
    columns = (TextColumn("[bold]{task.description}"), BarColumn(), DownloadColumn(), TextColumn("left"), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda count: progress.advance(task, count)
