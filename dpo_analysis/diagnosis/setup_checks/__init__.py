"""Checks that compare the setup with what the trainer and the reference say of it: log, reference, chat template."""
