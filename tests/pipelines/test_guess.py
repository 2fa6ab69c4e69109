import pytest

from pipelines.errors import UsageError
from pipelines.guess import guess_columns

TEXTS = [f"this is sentence number {number} and it is rather long" for number in range(120)]


def columns(**table):
    return guess_columns(table, "t.csv")


def test_columns_are_told_by_what_they_hold():
    guess = columns(
        uid=list(range(120)), words=TEXTS, what=["x", "y", "z"] * 40, part=["train", "dev", "test"] * 40, author=["p", "q"] * 60
    )
    assert (guess.columns.text, guess.columns.label, guess.columns.split) == ("words", "what", "part")
    assert (guess.columns.id, guess.columns.group) == ("uid", "author")
    assert not guess.regression


def test_pairs_pictures_numbers_and_several_labels_are_known():
    pair = columns(premise=TEXTS, hypothesis=TEXTS[::-1], label=[0, 1] * 60)
    assert (pair.columns.text, pair.columns.pair, pair.columns.label) == ("premise", "hypothesis", "label")
    picture = columns(file=[f"img/{n}.PNG" for n in range(120)], label=["a", "b"] * 60)
    assert (picture.columns.image, picture.columns.text) == ("file", None)
    assert columns(text=TEXTS, score=[f"{n / 7:.3f}" for n in range(120)]).regression
    several = columns(text=TEXTS, labels=["a;b", "b", "c;a"] * 40)
    assert several.multilabel == ";"
    assert not columns(text=TEXTS, stars=[str(n % 5) for n in range(120)]).regression


def test_what_the_user_names_is_taken_and_must_be_there():
    table = {"a": TEXTS, "b": TEXTS[::-1], "c": ["x", "y"] * 60}
    guess = guess_columns(table, "t.csv", text="b", label="c")
    assert (guess.columns.text, guess.columns.label) == ("b", "c")
    with pytest.raises(UsageError, match="there is no column `z` \\(--text\\); columns are a, b, c"):
        guess_columns(table, "t.csv", text="z")
    with pytest.raises(UsageError, match="no column looks like a text or an image"):
        guess_columns({"n": [1, 2, 3]}, "t.csv")


def test_a_class_called_train_is_no_split():
    assert columns(text=TEXTS, label=["train", "bus"] * 60).columns.label == "label"
    assert columns(text=TEXTS, vehicle=["train", "bus"] * 60).odd_split is None
