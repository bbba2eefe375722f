"""Cleaned data: the source rows of a run's pairs, unchanged, without the pairs that a person or a finding names."""

from dpo_analysis.cleaning.cleaned_pairs import CleanedPairs, clean_pairs, cleaned_jsonl, export_pairs
from dpo_analysis.cleaning.source_rows import has_source_rows

__all__ = ["CleanedPairs", "clean_pairs", "cleaned_jsonl", "export_pairs", "has_source_rows"]
