"""The charts of the Overview, kept between passes by ``shared.cache``."""

from typing import Any

from shared import cached_tables, state

from dpo_analysis import figures
from dpo_analysis.runs import Run


def curves(run: Run, *, name: str, series: str = "", **options: Any) -> Any:
    """Return the curves that ``figures`` draws under this name, of one series or of all."""
    steps = cached_tables.steps(run)
    from_reference = [name for name, trained in run.series.items() if trained.start == "reference"]
    return getattr(figures, name)(
        steps[steps["series"] == series] if series else steps,
        lang=state.language(),
        theme=state.theme(),
        logged=cached_tables.logged(run),
        from_reference=from_reference,
        **options,
    )


def positions(run: Run) -> Any:
    """Return the heat map of positions and checkpoints."""
    return figures.position_heatmap(cached_tables.positions(run), lang=state.language(), theme=state.theme())
