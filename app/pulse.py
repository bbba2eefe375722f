"""A heartbeat in the browser: what a page follows a run with that is still being written.

Streamlit's own ``run_every`` is told to the browser once, in one message; where a busy server drops that message for
the next pass, the page never refreshes again. This timer lives in the page: what one beat misses the next brings, and
where several in a row go unanswered while nothing is running, the page loads itself again.
"""

import streamlit as st

KEY, DRAWN = "pulse", "pulses_drawn"
UNANSWERED = 4
"""Beats without an answer from an idle server after which the page loads itself again; its choices are in its link."""
BEAT = """
export default function({ data, parentElement, setTriggerValue }) {
  let sent = 0;
  clearInterval(parentElement.beating);
  const timer = setInterval(() => {
    if (!parentElement.isConnected) { clearInterval(timer); return; }
    const running = document.querySelector('[data-test-script-state="running"]');
    if (sent >= data.unanswered && !running) location.reload();
    sent += 1;
    setTriggerValue("beat", true);
  }, 1000 * data.seconds);
  parentElement.beating = timer;
}"""
"""Called anew for each drawing, so one timer for each parent; it ends when its parent leaves the page and not by a
cleanup, which Streamlit may do late, or without calling again.
"""

_pulse = st.components.v2.component("dpo_analysis.pulse", js=BEAT)


def beat(seconds: int) -> None:
    """Run the fragment in which this stands again every so many seconds, as long as it is drawn.

    Every drawing has its number: the page takes a new one as the answer to its last beat, and starts counting anew.
    """
    st.session_state[DRAWN] = st.session_state.get(DRAWN, 0) + 1
    data = {"seconds": seconds, "unanswered": UNANSWERED, "drawn": st.session_state[DRAWN]}
    _pulse(key=KEY, data=data, height=1, on_beat_change=lambda: None)
