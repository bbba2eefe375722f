"""The logs of trainers in a run folder."""
