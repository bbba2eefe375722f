"""From token ids to token log-probs: routes through a model, packs of prompts and responses, and output heads."""
