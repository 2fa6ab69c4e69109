"""The documentation builds, its page of commands is what the commands say, and its links lead somewhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*command):
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, cwd=ROOT, env=environment)


def test_the_page_of_commands_is_up_to_date():
    done = run("docs/make_commands.py", "--check")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_documentation_builds_without_a_warning(tmp_path):
    done = run("-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path))
    assert done.returncode == 0, done.stderr
    for page in ("index.html", "reference/heads/index.html", "reference/commands/index.html"):
        assert (tmp_path / page).is_file()
    heads = (tmp_path / "reference/heads/index.html").read_text()
    assert "LinearHead" in heads
