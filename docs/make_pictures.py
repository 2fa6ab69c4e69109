"""Make the README's pictures from a fresh run of the demo: `make pictures`.

`terminal.svg` is what `make train` prints, drawn by rich; `confusion_matrix.png` is the run's own figure; `report.png` is
the report as a browser shows it, where Chromium is installed.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

from rich.console import Console

from pipelines import bars, console, summaries
from pipelines.experiment import run_experiment

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"


def main() -> None:
    """Run the demo and keep its pictures."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "demo"
        experiment = run_experiment(ROOT / "configs/demo.yaml", None, str(run), (), False, bars.Bars(), console.note)
        console.out = Console(record=True, width=96, highlight=False)
        experiment.metrics["run"] = "runs/demo"
        summaries.show_extraction(experiment.metrics["extract"])
        summaries.show_run(experiment.metrics, experiment.result)
        console.out.save_svg(str(IMAGES / "terminal.svg"), title="make train")
        shutil.copy(run / "figures" / "confusion_matrix.png", IMAGES)
        if browser := shutil.which("chromium"):
            _screenshot(browser, run / "report.html", Path(folder))


def _screenshot(browser: str, page: Path, profile: Path) -> None:
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-background-networking"]
    places = [f"--user-data-dir={profile / 'browser'}", f"--screenshot={IMAGES / 'report.png'}"]
    subprocess.run([browser, *options, *places, "--window-size=1280,1500", page.as_uri()], check=True, capture_output=True)  # noqa: S603


if __name__ == "__main__":
    main()
