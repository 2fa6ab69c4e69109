"""`headstart cache`: look into a feature store and keep it in order."""

from typing import Annotated

import typer

from pipelines.commands.options import Json, StoreFolder

cache_app = typer.Typer(help="Look into the feature store, and keep it in order.")

RecipeStart = Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe's id, or its beginning.")]
Recipes = Annotated[
    list[str] | None,
    typer.Option("--recipe", metavar="ID", help="Only this recipe (its id, or its beginning); may be repeated."),
]
DryRun = Annotated[bool, typer.Option("--dry-run/--yes", help="Only tell what would be done, or do it.")]


@cache_app.command("ls")
def ls(store: StoreFolder = "features", json: Json = False) -> None:
    """List what the store holds: a line a recipe, a line a table."""
    from pipelines import cache_report as report

    listing = report.list_store(store)
    report.print_json(listing) if json else report.show_listing(store, listing)


@cache_app.command("show")
def show(recipe: RecipeStart, store: StoreFolder = "features", json: Json = False) -> None:
    """Show one recipe: all that determines its features, which outputs are there, which tables refer to it."""
    from pipelines import cache_report as report

    content = report.describe_recipe(store, recipe)
    report.print_json(content) if json else report.show_recipe(content)


@cache_app.command("verify")
def verify(store: StoreFolder = "features", json: Json = False) -> None:
    """Check every byte; set damaged shards aside, so that their rows are extracted again. Exit status 1 if there were any."""
    from pipelines import cache_report as report

    found = report.verify_store(store)
    report.print_json(found) if json else report.show_verification(found)
    if found["damaged"]:
        raise typer.Exit(1)


@cache_app.command("gc")
def gc(
    store: StoreFolder = "features",
    dry_run: DryRun = True,
    drop_recipe: Annotated[
        list[str] | None,
        typer.Option("--drop-recipe", metavar="ID", help="Remove all features of a recipe, too; repeatable."),
    ] = None,
    drop_boundaries: Annotated[
        bool,
        typer.Option("--drop-boundaries", help="Remove what frozen blocks gave while others above them were tuned, too."),
    ] = False,
    drop_table: Annotated[
        list[str] | None,
        typer.Option("--drop-table", metavar="NAME", help="Remove a table and what only it wants; repeatable."),
    ] = None,
    json: Json = False,
) -> None:
    """Remove features that no table refers to. Only tells what it would remove, unless --yes is given."""
    from pipelines import cache_report as report

    done = report.collect_store(store, dry_run, drop_recipe or (), drop_table or (), drop_boundaries)
    report.print_json(done) if json else report.show_collection(done)


@cache_app.command("compact")
def compact(store: StoreFolder = "features", recipe: Recipes = None, dry_run: DryRun = False, json: Json = False) -> None:
    """Join small shards into large ones, in the order of the tables. Readers and writers may go on."""
    from pipelines import cache_report as report

    done = report.compact_store(store, recipe or (), dry_run)
    report.print_json(done) if json else report.show_compaction(done)


@cache_app.command("export")
def export(
    destination: Annotated[str, typer.Argument(metavar="DEST", help="A folder, a URL, or a new .tar or .tar.gz file.")],
    store: StoreFolder = "features",
    recipe: Recipes = None,
    json: Json = False,
) -> None:
    """Copy features into another store or an archive, checking every byte. Exit status 1 if something was refused."""
    from pipelines import cache_report as report

    done = report.export_features(store, destination, recipe or ())
    report.print_json(done) if json else report.show_transfer(done, f"written to {destination}")
    if done["refused"]:
        raise typer.Exit(1)


@cache_app.command("import")
def import_(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A store's folder or URL, or a .tar or .tar.gz file of one.")],
    store: StoreFolder = "features",
    json: Json = False,
) -> None:
    """Add what another store or an archive holds, checking every byte. Exit status 1 if something was refused."""
    from pipelines import cache_report as report

    done = report.import_features(store, source)
    report.print_json(done) if json else report.show_transfer(done, f"added to {store}")
    if done["refused"]:
        raise typer.Exit(1)
