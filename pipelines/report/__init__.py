"""Reports: figures, and one page that shows a run to a person."""

from pipelines.report.excerpt import take_excerpt
from pipelines.report.sample_map import Effort
from pipelines.report.writing import make_subject, rebuild_report, write_report

__all__ = ["Effort", "make_subject", "rebuild_report", "take_excerpt", "write_report"]
