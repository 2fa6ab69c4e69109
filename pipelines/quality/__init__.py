"""Data quality from cached features: likely label errors, duplicates, leakage between splits, outliers."""

from pipelines.quality.inspection import KINDS, Inspection, Issue, Subject, inspect_subject

__all__ = ["KINDS", "Inspection", "Issue", "Subject", "inspect_subject"]
