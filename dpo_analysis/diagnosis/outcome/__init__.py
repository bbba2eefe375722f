"""What became of the responses at the checkpoint shown: a plain answer for every run, and whether a fall is harmful.

A cause says why the chosen responses fell. The answer says what the run shows where no cause does.
"""
