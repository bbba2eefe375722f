"""What ``check`` says first: how many pairs were read, from which columns, in which format, with whose template."""

from collections import Counter
from collections.abc import Sequence

from dpo_analysis import words
from dpo_analysis.data.pairs import Pair, Tie
from dpo_analysis.data.row_texts import unused_text_columns

MAX_LETTERS = 120
"""Letters of the name of a column that are printed."""
MAX_PLACES = 3
"""Rows that prefer no response whose places are printed, and unused columns that are named."""


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
    shapes: Counter[str] = Counter()
    prompts: Counter[str] = Counter()
    formats: Counter[str] = Counter()
    unused: dict[str, None] = {}
    # a pair may be compressed, so each is looked at once, as a whole
    for pair in (pair.decompressed() for pair in pairs):
        shapes.update(_shape_facts(pair, lang))
        prompts[_prompt_fact(pair, lang)] += 1
        formats[words.text(f"check.understood.format.{_format(pair)}", lang)] += 1
        unused |= dict.fromkeys(unused_text_columns(pair))
    facts = [words.text("check.understood.pairs", lang, n=len(pairs), splits=listed) if len(parts) > 1 else listed]
    facts += [fact for counts in (shapes, prompts, formats) for fact in _counted(counts, len(pairs))]
    if any(pair.conversational for pair in pairs):
        source = chat_template or tokenizer
        template = words.text("check.understood.template", lang, source=source)
        facts.append(template if source else words.text("check.understood.no_template", lang))
    if unused:
        columns = words.text("check.understood.and", lang).join(_quoted(name) for name in list(unused)[:MAX_PLACES])
        facts.append(words.text("check.understood.unused", lang, columns=columns))
    return words.text("check.understood.comma", lang).join(facts)


def _counted(facts: "Counter[str]", n_pairs: int) -> list[str]:
    """Return the facts, each with its number of pairs where it does not hold for all."""
    return [fact if count == n_pairs else f"{fact} ({count})" for fact, count in facts.items()]


def left_out_line(ties: Sequence[Tie], lang: str = "en") -> str:
    """Return one line on the rows that prefer no response and make no pair, with the places of the first."""
    places = ", ".join(tie.where for tie in ties[:MAX_PLACES])
    more = ", ..." if len(ties) > MAX_PLACES else ""
    return words.text(
        f"check.understood.left_out{'.one' if len(ties) == 1 else ''}", lang, n=len(ties), places=f"{places}{more}"
    )


def _shape_facts(pair: Pair, lang: str) -> list[str]:
    """Return the shape of the row and the columns of its responses; nothing for a row in TRL's format."""
    reading = pair.reading
    if reading is None:
        return []
    facts = [words.text("check.understood.shape", lang, shape=reading.shape)]
    if not reading.rejected:
        facts.append(words.text("check.understood.responses", lang, columns=_printable(reading.chosen)))
    elif (reading.chosen, reading.rejected) != ("chosen", "rejected"):
        columns = {"chosen": _quoted(reading.chosen), "rejected": _quoted(reading.rejected)}
        facts.append(words.text("check.understood.sides", lang, **columns))
    return facts


def _prompt_fact(pair: Pair, lang: str) -> str:
    reading = pair.reading
    if reading is None or not pair.has_prompt_column:
        return words.text(f"check.understood.prompt.{_prompt_source(pair)}", lang)
    columns = words.text("check.understood.and", lang).join(map(_quoted, reading.prompt))
    return words.text("check.understood.prompt.columns", lang, columns=columns)


def _quoted(name: str) -> str:
    return f"`{_printable(name)}`"


def _printable(name: str) -> str:
    """Return the name of a column without what a terminal would obey; it may come from the data."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in name)[:MAX_LETTERS]


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
