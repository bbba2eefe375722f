"""``python -m dpo_analysis`` is ``dpo-analysis``; torchrun and accelerate start it this way."""

from dpo_analysis.cli.main import main

main()
