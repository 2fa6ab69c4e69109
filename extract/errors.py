"""What a user must fix about samples or backbones."""

from cache import HeadstartError


class SourceError(HeadstartError):
    """A source of samples cannot be read as asked."""


class BackboneError(HeadstartError):
    """A backbone cannot be found, loaded or used as asked."""


class NoSuchNameError(HeadstartError):
    """Something was asked for by a name that does not exist: the request is wrong, not the work."""


class NoSuchSourceError(SourceError, NoSuchNameError):
    """There is no such file, nothing in it, or no such kind of file, column or encoding."""


class NoSuchBackboneError(BackboneError, NoSuchNameError):
    """There is no such backbone, layer, pooling or precision."""


class CannotSplitError(BackboneError):
    """A backbone cannot be split below what learns; the text is the reason."""


class EngineError(HeadstartError):
    """Backbones cannot be run where they were asked to run."""


class BadSampleError(HeadstartError):
    """A sample cannot be extracted and the caller asked for that to be an error."""


class UnusableSampleError(HeadstartError):
    """A single sample cannot be decoded; the text is the reason that is reported with the sample's id."""
