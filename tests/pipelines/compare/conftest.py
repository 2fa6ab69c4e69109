import numpy as np
import pytest

from pipelines.compare.cells import Record
from pipelines.compare.worker import work

COMPARE = "compare: {{seeds: 2, trials: 2, epochs: 2, min_steps: 6, methods: [{methods}]}}\n"


class Runner:
    """Runs jobs in this process, which saves seconds of imports a cell, and keeps count."""

    def __init__(self):
        self.jobs = []
        self.fails = ()

    def __call__(self, job, show):
        self.jobs.append(job)
        if job.method in self.fails:
            return Record({"error": "ValueError: made to fail"})
        content, answers = work(job)
        return Record(content, answers)


@pytest.fixture
def runner():
    return Runner()


@pytest.fixture
def compared(project):
    """Write a config with a comparison of some methods into the project; return the config."""
    from pipelines.config_file import load_config

    def make(*methods, changes=()):
        path = project / "config.yaml"
        base = path.read_text().split("compare:")[0]
        path.write_text(base + COMPARE.format(methods=", ".join(methods)))
        return load_config(path, changes)

    return make


@pytest.fixture
def rng():
    return np.random.default_rng(0)
