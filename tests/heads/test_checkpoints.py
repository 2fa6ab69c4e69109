import os
import pickle

import numpy as np
import pytest
import torch

from heads.checkpoints import FILE, fingerprint, load_checkpoint, save_checkpoint

CPU = torch.device("cpu")


def test_what_was_saved_comes_back_for_the_training_that_is_expected_and_no_other(tmp_path):
    save_checkpoint(tmp_path / "deep" / "folder", {"fingerprint": "a", "weights": torch.ones(3), "losses": [0.5]})
    found = load_checkpoint(tmp_path / "deep" / "folder", "a", CPU)
    assert torch.equal(found["weights"], torch.ones(3))
    assert found["losses"] == [0.5]
    assert load_checkpoint(tmp_path / "deep" / "folder", "b", CPU) is None
    assert load_checkpoint(tmp_path / "elsewhere", "a", CPU) is None


def test_a_new_checkpoint_takes_the_place_of_the_last_and_leaves_nothing_else(tmp_path):
    for number in range(3):
        save_checkpoint(tmp_path, {"fingerprint": "a", "number": number})
    assert load_checkpoint(tmp_path, "a", CPU)["number"] == 2
    assert os.listdir(tmp_path) == [FILE]


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_damaged_or_hostile_file_is_none_and_runs_nothing(tmp_path):
    class Hostile:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "ran"),))

    save_checkpoint(tmp_path, {"fingerprint": "a"})
    whole = (tmp_path / FILE).read_bytes()
    for content in (whole[:-50], b"", b"\x80\x04damage", pickle.dumps({"fingerprint": Hostile()})):
        (tmp_path / FILE).write_bytes(content)
        assert load_checkpoint(tmp_path, "a", CPU) is None
    torch.save({"fingerprint": Hostile()}, tmp_path / FILE)
    assert load_checkpoint(tmp_path, "a", CPU) is None
    assert not (tmp_path / "ran").exists()


def test_one_number_or_setting_more_is_another_training():
    arrays = [np.arange(6.0), np.zeros((2, 3))]
    mark = fingerprint("lr=1", arrays)
    assert mark == fingerprint("lr=1", [array.copy() for array in arrays])
    assert mark != fingerprint("lr=2", arrays)
    assert mark != fingerprint("lr=1", [arrays[0] + np.eye(6)[0], arrays[1]])
    assert mark != fingerprint("lr=1", [arrays[0], arrays[1].reshape(3, 2)])
