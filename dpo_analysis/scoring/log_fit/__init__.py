"""The trainer's log as judge of the setup: which setting makes the recomputed means fit the logged ones."""
