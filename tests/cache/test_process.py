import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cache.process import PRESUMED_DEAD, is_alive, this_process


def test_this_process_lives_and_one_that_ended_does_not():
    assert is_alive(this_process(), 0)
    ended = subprocess.run(
        [sys.executable, "-c", "from cache.process import this_process; print(this_process())"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not is_alive(ended.stdout.strip(), time.time())


def test_a_process_of_another_machine_is_believed_for_a_while():
    assert is_alive("0123456789ab-17", time.time() - 60)
    assert not is_alive("0123456789ab-17", time.time() - 60, patience=30)
    assert not is_alive("0123456789ab-17", time.time() - PRESUMED_DEAD - 1)
    assert not is_alive("", 0)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc here")
def test_a_process_that_has_ended_is_dead_even_if_its_parent_takes_no_note():
    child = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.DEVNULL)
    name = this_process().rpartition("-")[0] + f"-{child.pid}"
    until = time.monotonic() + 60
    while is_alive(name, time.time()) and time.monotonic() < until:
        time.sleep(0.01)
    assert not is_alive(name, time.time())
    os.kill(child.pid, 0)  # it is still there, as a name
    child.wait()
