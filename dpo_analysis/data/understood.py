"""What ``check`` says first: how many pairs were read, from which columns, in which format, with whose template."""

from collections import Counter
from collections.abc import Sequence

from dpo_analysis import words
from dpo_analysis.data.pairs import Pair


def understood_line(pairs: Sequence[Pair], *, tokenizer: str = "", chat_template: str = "", lang: str = "en") -> str:
    """Return one line on how the rows were understood, such as "150 pairs, prompt from `prompt`, plain text".

    Args:
        pairs: the pairs that could be read.
        tokenizer: the name of the tokenizer, whose chat template is used; empty where none was given.
        chat_template: the file that takes the place of that template; empty where none was given.
        lang: "en" or "zh".
    """
    splits = Counter(pair.split for pair in pairs)
    parts = [
        words.text(f"check.understood.split{'.one' if count == 1 else ''}", lang, n=count, split=name)
        for name, count in splits.items()
    ]
    listed = words.text("check.understood.and", lang).join(parts)
    prompts = Counter(words.text(f"check.understood.prompt.{_prompt_source(pair)}", lang) for pair in pairs)
    formats = Counter(words.text(f"check.understood.format.{_format(pair)}", lang) for pair in pairs)
    facts = [words.text("check.understood.pairs", lang, n=len(pairs), splits=listed) if len(parts) > 1 else listed]
    facts += [*_counted(prompts, len(pairs)), *_counted(formats, len(pairs))]
    if any(pair.conversational for pair in pairs):
        source = chat_template or tokenizer
        template = words.text("check.understood.template", lang, source=source)
        facts.append(template if source else words.text("check.understood.no_template", lang))
    return words.text("check.understood.comma", lang).join(facts)


def _counted(facts: "Counter[str]", n_pairs: int) -> list[str]:
    """Return the facts, each with its number of pairs where it does not hold for all."""
    return [fact if count == n_pairs else f"{fact} ({count})" for fact, count in facts.items()]


def _prompt_source(pair: Pair) -> str:
    """Return where the prompt stands in the row: in its column, in it as a text, or in front of both responses."""
    given = pair.source.get("prompt")
    if given is None:
        return "shared"
    if not pair.conversational or isinstance(given, list):
        return "column"
    return "message" if pair.prompt == [{"role": "user", "content": given}] else "shared"


def _format(pair: Pair) -> str:
    return "messages" if pair.conversational else "texts"
