"""From preference rows to token ids, without torch: sources, pairs, tokenization, vocabulary, and the row warnings."""
