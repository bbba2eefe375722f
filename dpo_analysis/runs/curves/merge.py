"""The logs of a run folder and those that are added to it, as one table."""

import pyarrow as pa

from dpo_analysis.schema import CURVES_SCHEMA

ORDER = ("series", "split", "metric", "step")


def merge_curves(stored: pa.Table | None, added: pa.Table) -> pa.Table:
    """Return the stored logs with those of each series in ``added`` replaced, sorted, in ``schema.CURVES_SCHEMA``."""
    tables = [added.select(CURVES_SCHEMA.names).cast(CURVES_SCHEMA)]
    if stored is not None:
        replaced = set(added["series"].unique().to_pylist())
        kept = pa.array([name not in replaced for name in stored["series"].to_pylist()], pa.bool_())
        tables.append(stored.filter(kept).select(CURVES_SCHEMA.names).cast(CURVES_SCHEMA))
    merged = pa.concat_tables(tables).sort_by([(name, "ascending") for name in ORDER])
    return merged.combine_chunks().replace_schema_metadata(None)
