"""Servers that tests start: a port that is nobody else's, and the moment from which one answers."""

import socket
import time
import urllib.request

from dpo_analysis.cli.launcher import ADDRESS


def own_port():
    """A port that no other worker is given; the first free one from 8501 on is found by two at once."""
    with socket.socket() as asked:
        asked.bind((ADDRESS, 0))
        return asked.getsockname()[1]


def wait_for(url, server, told, seconds):
    """Return when the server answers; it must live, and what it said is shown where it does not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.25)
    raise AssertionError(f"{url} does not answer; the server said: {told.read_text()}")
