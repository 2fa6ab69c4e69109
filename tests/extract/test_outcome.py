import numpy as np

from extract import BackboneSpec, extract
from extract.outcome import Truncation
from tests.conftest import WORDS


def test_truncation_is_told_as_people_count():
    told = Truncation().count(np.array([3, 6, 6]), np.array([3, 6, 16])).count(np.array([2]), np.array([2]))
    assert told == Truncation(samples=1, of=4, length=6, lost=10, tokens=27)
    assert str(told) == "1 of 4 texts were cut to 6 tokens; 37% of all tokens"
    assert str(Truncation(1, 10_000, 6, 1, 60_000)) == "1 of 10,000 texts were cut to 6 tokens; less than 1% of all tokens"


def test_an_extraction_counts_what_it_cut_off_and_a_warm_one_nothing(tiny_bert, tmp_path):
    spec = BackboneSpec(f"hf:{tiny_bert}", max_length=6)
    texts = ["good", "good film", " ".join(WORDS)]
    cold, warm = (extract(texts, spec, str(tmp_path / "store")).truncation for _ in range(2))
    assert cold == Truncation(samples=1, of=3, length=6, lost=len(WORDS) - 4, tokens=3 + 4 + len(WORDS) + 2)
    assert warm == Truncation()
