import os
import shutil
import subprocess
import sys

import pytest

from pipelines.completion import complete_configs, complete_runs, complete_runs_and_configs

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
RUNS = ["runs/reviews-1", "runs/reviews-2"]
ASK = {  # what a person's key press asks of the script that was printed
    "bash": 'source ./script; COMP_WORDS=(headstart {words}); COMP_CWORD={at}; _headstart_completion headstart; printf "%s\\n" "${{COMPREPLY[@]}}"',
    "fish": 'source ./script; complete --do-complete "headstart {words}"',
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with two runs, two configs, other files, and a `headstart` that is this one."""
    for run in RUNS:
        (tmp_path / run).mkdir(parents=True)
        (tmp_path / run / "metrics.json").touch()
    (tmp_path / "configs").mkdir()
    for name in ("reviews.yaml", "reviews.csv", "configs/other.yml", ".hidden.yaml"):
        (tmp_path / name).touch()
    command = tmp_path / "bin" / "headstart"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m pipelines.cli "$@"\n')
    command.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")
    return tmp_path


def script_for(shell, place):
    """Let the shell itself ask for its script, as its user would."""
    done = subprocess.run([shell, "-c", "headstart --show-completion; true"], capture_output=True, text=True, cwd=place)
    assert not done.stderr
    (place / "script").write_text(done.stdout)
    return done.stdout


def test_runs_and_configs_are_found_here_and_one_folder_deep(place):
    assert complete_runs("") == RUNS
    assert complete_runs("runs/reviews-2") == ["runs/reviews-2"]
    assert complete_runs(f"{place}/ru") == [f"{place}/runs/reviews-1", f"{place}/runs/reviews-2"]
    assert complete_configs("") == ["configs/other.yml", "reviews.yaml"]
    assert complete_configs("re") == ["reviews.yaml"]
    assert complete_configs(".h") == [".hidden.yaml"]
    assert complete_runs_and_configs("r") == ["reviews.yaml", "runs/reviews-1", "runs/reviews-2"]
    assert complete_runs("nowhere/x") == complete_configs("bin/headstart/") == []


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_a_shell_completes_commands_configs_and_runs(place, shell):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    assert "headstart" in script_for(shell, place)
    for words, found in (("cache ve", ["verify"]), ("train re", ["reviews.yaml"]), ("predict runs/", RUNS)):
        ask = ASK[shell].format(words=words, at=len(words.split()))
        done = subprocess.run([shell, "-c", ask], capture_output=True, text=True, cwd=place)
        assert [line.split("\t")[0] for line in done.stdout.split("\n") if line] == found, done.stderr


@pytest.mark.slow
def test_zsh_completes_as_well(place):
    if shutil.which("zsh") is None:
        pytest.skip("zsh is not installed")
    assert script_for("zsh", place).startswith("#compdef headstart")
    asked = os.environ | {"_HEADSTART_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "headstart predict runs/"}
    told = subprocess.run(["zsh", "-c", "headstart"], capture_output=True, text=True, cwd=place, env=asked).stdout
    assert "runs/reviews-1" in told
    assert subprocess.run(["zsh", "-n", "script"], cwd=place).returncode == 0
