"""Reports: figures, and one page that shows a run to a person."""

from pipelines.report.page import write_report

__all__ = ["write_report"]
