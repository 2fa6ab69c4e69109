"""Blocks of columns: where each of several outputs begins and ends in features that hold them side by side."""

from collections.abc import Sequence


def read_blocks(blocks: Sequence[int] | None, width: int) -> tuple[int, ...]:
    """Return how many columns each block has; one block holds all where none are named.

    Parameters
    ----------
    blocks
        Widths, in the columns' order.
    width
        Columns there are.

    Raises
    ------
    ValueError
        If the widths do not add up to that, or one is not above 0.
    """
    if blocks is None:
        return (width,)
    widths = tuple(int(block) for block in blocks)
    if sum(widths) != width or min(widths, default=0) < 1:
        raise ValueError(f"`blocks` are {list(widths)}, {sum(widths)} columns together, where X has {width}")
    return widths
