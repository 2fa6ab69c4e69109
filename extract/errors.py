"""What a user must fix about samples or backbones."""

from cache import HeadstartError


class SourceError(HeadstartError):
    """A source of samples cannot be read as asked."""


class BackboneError(HeadstartError):
    """A backbone cannot be found, loaded or used as asked."""


class BadSampleError(HeadstartError):
    """A sample cannot be extracted and the caller asked for that to be an error."""
