import json
import os
import subprocess
import sys

import pytest

from tests.conftest import write_reviews

CONFIG = """\
name: reviews
data: {{path: reviews.csv, label: label, split: split}}
backbones: ['hf:{backbone}']
heads:
  - {{kind: linear, C: [0.1, 10]}}
"""


@pytest.fixture
def project(tmp_path, tiny_bert, monkeypatch):
    """A folder with reviews and a config over a tiny backbone, and the working directory in it."""
    write_reviews(tmp_path / "reviews.csv")
    (tmp_path / "config.yaml").write_text(CONFIG.format(backbone=tiny_bert))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def headstart(project, capsys):
    """Run the command in this process, which saves seconds of imports; `.json` returns what it prints."""
    from pipelines.cli import main

    def run(*arguments, status=0):
        capsys.readouterr()
        ended = main([str(argument) for argument in arguments])
        told = capsys.readouterr()
        assert ended == status, told.err + told.out
        return told

    run.json = lambda *arguments, status=0: json.loads(run(*arguments, "--json", status=status).out)
    return run


@pytest.fixture
def process(project):
    """Run the command in a process of its own, as a user does, which takes seconds of imports; `.json` as of `headstart`."""

    def run(*arguments, status=0):
        command = [sys.executable, "-m", "pipelines.cli", *map(str, arguments)]
        root = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
        paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        environment = os.environ | {"PYTHONPATH": paths}
        done = subprocess.run(command, capture_output=True, text=True, cwd=project, env=environment)
        assert done.returncode == status, done.stderr + done.stdout
        return done

    run.json = lambda *arguments, status=0: json.loads(run(*arguments, "--json", status=status).stdout)
    return run
