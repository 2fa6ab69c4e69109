"""One cell in a process of its own: `python -m pipelines.compare.worker FOLDER` reads `job.json` there and answers beside it.

record.json    scores, costs and what was chosen; or `error`
answers.npy    logits of the test samples `[t, c]`, whose labels are not in the job
"""

import json
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.compare.cells import EXTRACTION
from pipelines.compare.job import Job
from pipelines.compare_config import CACHED


def main(folder: Path) -> None:
    """Do the job that lies in a folder."""
    warnings.simplefilter("ignore")
    content, answers = work(Job.from_json((folder / "job.json").read_text(encoding="utf-8")))
    if answers is not None:
        np.save(folder / "answers.npy", answers, allow_pickle=False)
    (folder / "record.json").write_text(json.dumps(content), encoding="utf-8")


def work(job: Job) -> tuple[dict[str, Any], np.ndarray | None]:
    """Do a job; return its record and its answers for the test samples, or the record of its failure."""
    try:
        if job.method == EXTRACTION:
            from pipelines.compare.cached import extract_features

            return extract_features(job), None
        if job.method in CACHED:
            from pipelines.compare.cached import fit_on_features

            content, answers = fit_on_features(job)
            return content, answers.astype(np.float32)
        from pipelines.compare.tuning import fine_tune

        content, answers = fine_tune(job)
        return content, answers.astype(np.float32)
    except Exception as error:  # one cell's failure is the comparison's to record
        reason = (str(error).strip().splitlines() or [""])[0]
        return {"error": f"{type(error).__name__}: {reason}", "traceback": traceback.format_exc()}, None


if __name__ == "__main__":
    main(Path(sys.argv[1]))
