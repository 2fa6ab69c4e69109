import subprocess
import sys
import time

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
