"""A heartbeat in the browser: what a page follows a run with that is still being written.

Streamlit's own ``run_every`` is told to the browser once, in one message, which is lost where the next pass of the
script begins before it is sent. This timer lives in the page: what one beat misses the next brings.
"""

import streamlit as st

KEY = "pulse"
BEAT = """
export default function({ data, parentElement, setTriggerValue }) {
  clearInterval(parentElement.beating);
  const timer = setInterval(() => {
    if (parentElement.isConnected) setTriggerValue("beat", true);
    else clearInterval(timer);
  }, 1000 * data.seconds);
  parentElement.beating = timer;
}"""
"""Streamlit may call it again for the same parent without a cleanup: one timer for each parent, ended with it."""

_pulse = st.components.v2.component("dpo_analysis.pulse", js=BEAT)


def beat(seconds: int) -> None:
    """Run the fragment in which this stands again every so many seconds, as long as it is drawn."""
    _pulse(key=KEY, data={"seconds": seconds}, height=1, on_beat_change=lambda: None)
