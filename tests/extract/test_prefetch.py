import threading

import pytest

from extract.prefetch import Prefetch


def test_items_come_in_order_and_then_the_end_again_and_again():
    ahead = Prefetch(iter(range(100)), 3)
    assert list(ahead) == list(range(100))
    assert list(ahead) == []


def test_an_error_comes_where_its_item_would_have():
    def items():
        yield 1
        raise ValueError("spoilt")

    ahead = Prefetch(items(), 3)
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="spoilt"):
        next(ahead)


def test_it_runs_ahead_no_further_than_told():
    made = []
    enough = threading.Event()

    def items():
        for number in range(10):
            made.append(number)
            if number == 3:
                enough.set()
            yield number

    ahead = Prefetch(items(), 3)
    assert enough.wait(5)
    assert made == [0, 1, 2, 3]
    ahead.close()


def test_closing_it_closes_what_it_iterates():
    closed = threading.Event()

    def items():
        try:
            while True:
                yield 0
        finally:
            closed.set()

    ahead = Prefetch(items(), 1)
    next(ahead)
    ahead.close()
    assert closed.is_set()
