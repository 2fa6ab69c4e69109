"""What a stream gave, slice by slice, as one."""


def read(stream):
    """Return the inputs, ids and labels of all slices, and id -> fault."""
    slices = list(stream)
    return (
        [sample for part in slices for sample in part.inputs],
        [name for part in slices for name in part.ids],
        [label for part in slices for label in (part.labels or [None] * len(part))],
        {part.ids[row]: why for part in slices for row, why in part.faults.items()},
    )
