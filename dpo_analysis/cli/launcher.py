"""Start of the app on this machine: on 127.0.0.1, without telemetry or details of errors, serving only its pages.

The app's folder is ``dpo_analysis/_app`` in an installed wheel and ``app/`` in a checkout.
"""

import os
import re
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dpo_analysis.cli.server.request_guard import RequestGuard
from dpo_analysis.errors import InputError
from dpo_analysis.figures.theme import DARK, LIGHT, Palette
from dpo_analysis.runs.run import check_folder

RUN_VARIABLE = "DPO_ANALYSIS_RUN"
"""Environment variable that tells the app's script the run, or the folder of runs."""
ADDRESS = "127.0.0.1"
FIRST_PORT, N_PORTS, LAST_PORT = 8501, 100, 65535
HOST_NAME = re.compile(r"(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
"""Host names that ``--allow-host`` takes; ``*`` alone would allow any page of the web."""
PACKAGE = Path(__file__).resolve().parent.parent
MANIFEST = "manifest.json"


def launch(
    run_or_folder: str | Path | None,
    *,
    port: int | None = None,
    browser: bool = True,
    allow_hosts: Sequence[str] = (),
) -> None:
    """Serve the app until Ctrl-C, and print where.

    Args:
        run_or_folder: a run folder or a folder of run folders; None: the page says how to make a run.
        port: the port; None for 8501 or the next free port.
        browser: open a browser window; never done in a session over SSH.
        allow_hosts: host names besides localhost under which a proxy serves the app. The app has no login, so the proxy
            must have one.

    Raises:
        InputError: no such folder, no run in it, a bad host name, the port is taken, or the app is not installed.
    """
    import streamlit as st
    from starlette.middleware import Middleware

    for name in allow_hosts:
        if not HOST_NAME.fullmatch(name):
            raise InputError(
                f"bad --allow-host {name!r}: give only a host name, without spaces, port or http://; "
                "write hub.example.org, or *.example.org for every host under it"
            )
    if run_or_folder is not None:
        find_runs(Path(run_or_folder))
        os.environ[RUN_VARIABLE] = str(Path(run_or_folder).resolve())
    script, number = app_script(), free_port(port)
    remote = bool(os.environ.get("SSH_CONNECTION"))
    for line in greeting(number, allow_hosts, remote=remote):
        print(line, flush=True)
    sys.argv = [str(script)]
    guard = Middleware(RequestGuard, hosts=["localhost", ADDRESS, *allow_hosts])
    st.App(script, middleware=[guard]).run(
        config=safe_config(number, headless=remote or not browser, allow_hosts=allow_hosts)
    )


def app_script() -> Path:
    """Return the app's main.py.

    Raises:
        InputError: this installation has no app.
    """
    for folder in (PACKAGE / "_app", PACKAGE.parent / "app"):
        if (folder / "main.py").is_file():
            return folder / "main.py"
    raise InputError(f"no app in {PACKAGE}: this installation is incomplete; install dpo-analysis again")


def sample_run() -> Path | None:
    """Return the shipped sample run, scored before; None where this installation has none."""
    folders = (PACKAGE / "_sample", PACKAGE.parent / "sample_data" / "run")
    return next((folder for folder in folders if (folder / MANIFEST).is_file()), None)


def find_runs(folder: Path) -> dict[str, Path]:
    """Return the run folders by name: ``folder``, or the run folders directly in it, sorted.

    Raises:
        InputError: there is no such folder, or no run in it.
    """
    check_folder(folder)
    if (folder / MANIFEST).is_file():
        return {folder.resolve().name: folder}
    runs = {inner.name: inner for inner in sorted(folder.iterdir()) if (inner / MANIFEST).is_file()}
    if not runs:
        raise InputError(
            f"no run in {folder}: neither it nor a folder in it has a {MANIFEST}; "
            "give the folder that score wrote (--out)"
        )
    return runs


def free_port(port: int | None = None) -> int:
    """Return ``port``, or the first free port from 8501 on.

    Raises:
        InputError: the port, or every port, is taken.
    """
    if port is not None:
        if not 0 < port <= LAST_PORT:
            raise InputError(
                f"no port {port}: ports are 1 to {LAST_PORT}; give a different --port, such as {FIRST_PORT}"
            )
        taken = _why_taken(port)
        if taken:
            raise InputError(f"port {port} on {ADDRESS} cannot be used: {taken}; give a different --port")
        return port
    for number in range(FIRST_PORT, FIRST_PORT + N_PORTS):
        if not _why_taken(number):
            return number
    raise InputError(
        f"no free port from {FIRST_PORT} to {FIRST_PORT + N_PORTS - 1} on {ADDRESS}: all are taken; give --port"
    )


def _why_taken(port: int) -> str:
    """Return why ``port`` cannot be used; empty where it is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except PermissionError:
            return "this user may not open it"
        except OSError:
            return "a different program uses it"
    return ""


def greeting(port: int, allow_hosts: Sequence[str] = (), *, remote: bool = False) -> list[str]:
    """Return the lines printed before the server starts: its address, how to see it over SSH, and how to stop it."""
    lines = [f"dpo-analysis is at http://{ADDRESS}:{port}  (Ctrl-C stops it)"]
    if remote:
        user, host = os.environ.get("USER", "USER"), socket.gethostname()
        lines += [
            "This is an SSH session. Run this on your own machine:",
            f"    ssh -N -L {port}:{ADDRESS}:{port} {user}@{host}",
        ]
        lines += [f"and open http://{ADDRESS}:{port} in the browser of your own machine."]
    if allow_hosts:
        lines += [
            f"Also served as {', '.join(allow_hosts)}: it has no login, so the proxy in front of it must have one."
        ]
    return lines


def safe_config(port: int, *, headless: bool = True, allow_hosts: Sequence[str] = ()) -> dict[str, Any]:
    """Return Streamlit's options for an app that only this machine can read."""
    server = {
        "address": ADDRESS,
        "port": port,
        "headless": headless,
        "showEmailPrompt": False,
        "allowedHosts": ["localhost", ADDRESS, *allow_hosts],
        "enableCORS": True,
        "enableXsrfProtection": True,
        "enableStaticServing": False,
        "enableAgentApi": False,
        "fileWatcherType": "none",
        "runOnSave": False,
        "maxUploadSize": 1,
    }
    config = {f"server.{name}": value for name, value in server.items()}
    config |= {"browser.gatherUsageStats": False, "client.toolbarMode": "viewer", "logger.hideWelcomeMessage": True}
    config |= {
        "runner.magicEnabled": False,
        "client.showErrorDetails": "none",
        "client.showErrorLinks": False,
        "client.disableDataExport": True,
        "theme.baseFontSize": 15,
    }
    # Streamlit caches large messages in the browser and, when keys come fast, may drop a message that the server still
    # refers to ("Cached ForwardMsg MISS"), which ends the connection: with this size no message is cached
    config["global.minCachedMessageSize"] = 1e12
    config["theme.paddingTop"] = "1rem"
    config["theme.headingFontSizes"] = ["24px", "19px", "17px", "16px", "15px", "15px"]
    for name, palette in (("light", LIGHT), ("dark", DARK)):
        config |= {f"theme.{name}.{option}": value for option, value in _colours(palette).items()}
    return config


def _colours(palette: Palette) -> dict[str, str]:
    return {
        "primaryColor": palette.policy,
        "backgroundColor": palette.background,
        "secondaryBackgroundColor": palette.raised,
        "textColor": palette.text,
    }
