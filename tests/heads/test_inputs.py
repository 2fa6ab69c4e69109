import h5py
import numpy as np
import pytest
import torch

from heads import LinearHead, MLPHead, Tokens
from heads.inputs import StoredTokens, is_on_disk, unpad


@pytest.fixture
def tokens():
    lengths = np.array([2, 1, 4, 3])
    return Tokens(np.arange(20.0).reshape(10, 2), np.concatenate([[0], np.cumsum(lengths)]))


@pytest.mark.parametrize(
    "rows", [slice(1, 3), slice(None), slice(0, 0), np.array([3, 0, 0]), np.array([True, False, False, True])]
)
def test_tokens_are_chosen_as_an_array_s_rows_are(tokens, rows):
    chosen = tokens[rows]
    expected = [tokens.values[tokens.offsets[row] : tokens.offsets[row + 1]] for row in np.arange(4)[rows]]
    assert len(chosen) == len(expected)
    for start, end, sample in zip(chosen.offsets[:-1], chosen.offsets[1:], expected, strict=True):
        assert np.array_equal(chosen.values[start:end], sample)


def test_what_stays_on_disk_is_known_by_what_it_can_do(tmp_path):
    with h5py.File(tmp_path / "features.h5", "w") as file:
        assert is_on_disk(file.create_dataset("X", data=np.zeros((3, 2))))
    assert is_on_disk(np.lib.format.open_memmap(tmp_path / "X.npy", "w+", "f4", (3, 2)))
    for X in (np.zeros((3, 2)), torch.zeros(3, 2), [[1.0]]):
        assert not is_on_disk(X)


def test_zeros_at_the_end_are_padding_and_zeros_in_between_are_not():
    padded = np.zeros((3, 4, 2))
    padded[0, :2], padded[1, [0, 2]] = 1, 1
    assert unpad(padded).lengths.tolist() == [2, 3, 1]
    assert StoredTokens(padded)[np.array([1])].lengths.tolist() == [3]


def test_tokens_for_a_head_of_vectors_are_refused_with_the_head_that_takes_them():
    with pytest.raises(ValueError, match="use an attention head"):
        MLPHead().fit([np.zeros((2, 3)), np.zeros((1, 3))], [0, 1])


@pytest.mark.parametrize("head", [MLPHead(max_epochs=1), LinearHead()], ids=lambda head: type(head).__name__)
def test_another_width_is_refused(blobs, head):
    head.fit(*blobs)
    with pytest.raises(ValueError, match="X has 7 features, but .* is expecting 20"):
        head.predict(np.zeros((2, 7)))


def test_views_of_another_width_and_more_dimensions_are_refused(blobs):
    head = MLPHead(max_epochs=1).fit(*blobs)
    with pytest.raises(ValueError, match="X has 7 features"):
        head.predict(np.zeros((2, 3, 7)))
    with pytest.raises(ValueError, match=r"\[2, 3, 4, 5\]|dim 4"):
        head.predict(np.zeros((2, 3, 4, 5)))
