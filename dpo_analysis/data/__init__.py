"""Preference rows to token ids, without torch: formats, pairs, tokens, vocabulary and the checks of all of them."""
