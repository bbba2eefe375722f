"""How token ids differ between tokenizations of the same pairs, and how that is printed."""
