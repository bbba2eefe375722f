"""The pairs that a finding blames: those whose own texts carry what the finding speaks of."""

from dpo_analysis.diagnosis.blame.blamed_pairs import BlamedPair, blamed_pairs, blaming_causes

__all__ = ["BlamedPair", "blamed_pairs", "blaming_causes"]
