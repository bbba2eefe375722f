"""What a person must know about a training log that was read: what is no number, was logged again, or was lost."""

from pathlib import Path

import pyarrow as pa

from dpo_analysis.errors import counted


def log_notes(curves: pa.Table) -> list[str]:
    """Return a sentence for each thing that a table of ``read_log`` counts in its metadata; none for a sound log."""
    metadata = {name.decode(): value.decode() for name, value in (curves.schema.metadata or {}).items()}
    counts = {name: int(value) for name, value in metadata.items() if value.isdigit()}
    where = f"training log {Path(metadata.get('source', 'of the run')).name}"
    return [f"{where}: {text}" for text in _texts(counts)]


def _texts(counts: dict[str, int]) -> list[str]:
    nan, infinite = counts.get("nan", 0), counts.get("infinite", 0)
    duplicates, discarded = counts.get("duplicates", 0), counts.get("discarded", 0)
    damaged, lost = counts.get("damaged", 0), counts.get("lost_bytes", 0)
    calls = counts.get("log_calls", 0)
    texts = {
        f"{counted(nan, 'value')} NaN: the curves have gaps there": nan,
        f"{counted(infinite, 'value')} infinite: the curves have gaps there": infinite,
        f"{counted(duplicates, 'value')} logged again, as when a training is resumed: the last counts": duplicates,
        f"{counted(discarded, 'value')} from before a restart left out: the training went back behind them": discarded,
        f"cut off or damaged: {counted(damaged, 'record')} ({lost:,} bytes) not read, the rest is": damaged,
        f"{counted(calls, 'value')} at steps that W&B or trackio counted, which may be calls of log": calls,
    }
    return [text for text, count in texts.items() if count]
