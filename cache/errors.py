"""The root of every error that a user can mend. Its text is one line: the place, what is wrong, the way out."""


class HeadstartError(Exception):
    """A fault that the user can mend, told in one line."""


class StoreError(HeadstartError):
    """The feature store cannot do what was asked of it."""


class StoreWarning(UserWarning):
    """Something in a store does not hold or was removed; everything else goes on."""
