"""A listener to progress that says nothing."""


class Quiet:
    """Stands for whoever is told how an extraction goes where nobody is."""

    def start(self, title: str, cached: int, missing: int, copies: int = 0) -> None:
        """Say nothing."""

    def advance(self, samples: int, share: float) -> None:
        """Say nothing."""

    def wait(self, samples: int) -> None:
        """Say nothing."""

    def start_stream(self, title: str) -> None:
        """Say nothing."""

    def advance_stream(self, cached: int, extracted: int) -> None:
        """Say nothing."""

    def finish(self) -> None:
        """Say nothing."""
