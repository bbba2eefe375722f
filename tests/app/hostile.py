"""Text that wants out: every string that a run can hold, in every place where a run holds one."""

import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from dpo_analysis import schema
from tests.app import synthetic

STRINGS = [
    *synthetic.HOSTILE,
    "<svg onload=\"document.title='owned'\"></svg>",
    "\"><script>document.title='owned'</script>",
    "</script><script>document.title='owned'</script>",
    "</title><script>document.title='owned'</script>",
    "<!--<script>document.title='owned'//-->",
    "<a href=\"javascript:document.title='owned'\">x</a>",
    '<math><mtext><style><img src="http://example.invalid/m" onerror="alert(1)">',
    "<link rel=stylesheet href=http://example.invalid/x.css>",
    "<meta http-equiv=refresh content='0;url=http://example.invalid/'>",
    "<base href=http://example.invalid/>",
    "@import url(http://example.invalid/i.css); * { display: none }",
    "x' onmouseover='alert(1)' y='",
    "{{ ''.__class__.__mro__ }} {% include 'x' %} ${7*7} <%= 7*7 %>",
    "\u2028\u2029\u0000]]>-->\\u003cscript>",
    '{"id": "</script>"}',
    '=HYPERLINK("http://example.invalid";"x")',
]
NAME = "<img src=x onerror=alert(1)> ' \" & {{7*7}}"
"""A name that a folder can have."""
TAG = "</style><script>document.title='owned'</script> ![x](http://example.invalid/t.png)"
SERIES = ["<img src=x onerror=alert(1)>", "![b](data:x) **s** $x^2$ <style>*{display:none}"]


MODELS = {60: "<b onclick=alert(1)>60</b> ${1} $x^2$", 120: "![i](http://example.invalid/n) </script><script>120"}
"""Names of the checkpoints, by step."""


def build(root: Path) -> Path:
    """A run whose folder, series, models, log, prompts, responses and tokens are hostile, with all ``STRINGS``."""
    known, log, model = list(synthetic.HOSTILE), synthetic._log, synthetic.model
    synthetic.HOSTILE[:] = STRINGS
    synthetic._log = lambda series, steps: pa.concat_tables([log(series, steps), _tagged(series)])
    synthetic.model = lambda name, step: replace(model(name, step), name=MODELS[step])
    try:
        path = synthetic.build(root / "made", series=SERIES, steps=[60, 120], count=len(STRINGS))
    finally:
        synthetic.HOSTILE[:], synthetic._log, synthetic.model = known, log, model
    return Path(shutil.move(path, root / NAME))


def _tagged(series) -> pa.Table:
    rows = [
        {"series": name, "split": TAG, "step": 20, "epoch": None, "metric": "margin", "value": 0.5} for name in series
    ]
    return pa.Table.from_pylist(rows, schema=schema.CURVES_SCHEMA)
