"""A timer in the browser that refreshes the page while its run is still being written.

Streamlit's ``run_every`` reaches the browser in a single message, which is lost if the next pass of the script begins
before the message is sent. This timer lives in the page: whatever one tick misses, the next one brings.
"""

from streamlit.components.v2 import component

KEY = "pulse"
TIMER = """
export default function({ data, parentElement, setTriggerValue }) {
  clearInterval(parentElement.beating);
  const timer = setInterval(() => {
    if (parentElement.isConnected) setTriggerValue("beat", true);
    else clearInterval(timer);
  }, 1000 * data.seconds);
  parentElement.beating = timer;
}"""
"""Streamlit may call it again for the same parent without a cleanup: one timer for each parent, ended with it."""

_timer = component("dpo_analysis.pulse", js=TIMER)


def refresh_every(seconds: int) -> None:
    """Rerun the fragment that calls this every ``seconds`` seconds, as long as it is on the page."""
    _timer(key=KEY, data={"seconds": seconds}, height=1, on_beat_change=lambda: None)
