"""Write docs/reference/commands.md from the commands' own help: `python docs/make_commands.py [--check]`."""

import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parent / "reference" / "commands.md"


def commands() -> str:
    """Return the page, as typer describes the commands."""
    made = subprocess.run(
        [sys.executable, "-m", "typer", "pipelines.cli", "utils", "docs", "--name", "headstart", "--title", "Commands"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    return made.stdout.rstrip() + "\n"


if __name__ == "__main__":
    page = commands()
    if "--check" in sys.argv:
        sys.exit(page != PAGE.read_text(encoding="utf-8") and f"{PAGE} is not what the commands say; run this without --check")
    PAGE.write_text(page, encoding="utf-8")
