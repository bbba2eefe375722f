"""A heartbeat in the browser: what a page follows a run with that is still being written.

Streamlit's own ``run_every`` is told to the browser once, in one message; where a busy server drops that message for
the next pass, the page never refreshes again. This timer lives in the page: what one beat misses the next brings.
"""

import streamlit as st

KEY = "pulse"
BEAT = """
export default function({ data, setTriggerValue }) {
  const timer = setInterval(() => setTriggerValue("beat", true), 1000 * data.seconds);
  return () => clearInterval(timer);
}"""

_pulse = st.components.v2.component("dpo_analysis.pulse", js=BEAT)


def beat(seconds: int) -> None:
    """Run the fragment in which this stands again every so many seconds, as long as it is drawn."""
    _pulse(key=KEY, data={"seconds": seconds}, height=1, on_beat_change=lambda: None)
