import numpy as np

from pipelines.quality.duplicates import find_pairs
from pipelines.quality.neighbours import find_neighbours


def keys_of(texts):
    return np.array([list((text.encode() * 16)[:16]) for text in texts], np.uint8)


def told(pairs):
    return {(pair.first, pair.second, pair.kind) for pair in pairs}


def test_every_sample_is_paired_with_the_first_like_it_on_either_side():
    texts = ["same", "same", "Same!", "other", "same", " SAME "]
    apart = np.array([False, False, False, False, True, True])
    found = told(find_pairs(keys_of(texts), texts, None, 0.97, apart))
    assert found == {
        (0, 1, "exact_duplicate"),
        (0, 4, "exact_duplicate"),
        (0, 2, "same_text"),
        (0, 5, "same_text"),
        (4, 5, "same_text"),
    }


def test_texts_without_letters_are_not_all_the_same_text():
    assert find_pairs(keys_of(["!!", "??"]), ["!!", "??"], None, 0.97, np.zeros(2, bool)) == []


def test_near_duplicates_are_found_once_and_very_many_of_them_do_not_explode():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 16))
    X[40] = X[3] + 1e-3
    inputs = [f"text {n}" for n in range(100)]
    keys = rng.integers(256, size=(100, 16), dtype=np.uint8)
    found = told(find_pairs(keys, inputs, find_neighbours(X), 0.99, np.zeros(100, bool)))
    assert found == {(3, 40, "near_duplicate")}
    same = np.tile(X[:2], (50, 1)) + rng.normal(scale=1e-5, size=(100, 16))
    assert len(find_pairs(keys, inputs, find_neighbours(same), 0.99, np.zeros(100, bool))) <= 100 * 10
