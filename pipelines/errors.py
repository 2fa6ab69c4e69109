"""What a user must fix about a config, a command or a run."""

from cache import HeadstartError


class UsageError(HeadstartError):
    """The command or the config is wrong; nothing has been done. Exit status 2."""


class TrainingError(HeadstartError):
    """The data do not allow training what was asked."""


class RunError(HeadstartError):
    """A run folder cannot be read or written."""


class NoRoomError(HeadstartError):
    """What is to be kept does not fit the disk or the store's limit."""
