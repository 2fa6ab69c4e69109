import pytest

from heads.blocks import read_blocks


def test_blocks_are_widths_that_add_up():
    assert read_blocks([2, 3], 5) == (2, 3)
    assert read_blocks(None, 5) == (5,)


@pytest.mark.parametrize("blocks", [[2, 2], [5, 0], [6, -1], []])
def test_blocks_that_do_not_add_up_are_refused(blocks):
    with pytest.raises(ValueError, match="`blocks` are"):
        read_blocks(blocks, 5)
