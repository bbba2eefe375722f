"""The launcher: only this machine, no telemetry, one line for what cannot be opened, a clean end."""

import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from pathlib import Path

import pytest

from dpo_analysis.cli import launcher
from dpo_analysis.errors import InputError
from tests.servers import own_port

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden" / "schema-1"


def flat(table, prefix=""):
    for key, value in table.items():
        yield from flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [(f"{prefix}{key}", value)]


@pytest.mark.parametrize(
    ("option", "value"),
    {
        "server.address": "127.0.0.1",
        "server.allowedHosts": ["localhost", "127.0.0.1"],
        "server.enableCORS": True,
        "server.enableXsrfProtection": True,
        "server.enableStaticServing": False,
        "server.enableAgentApi": False,
        "server.fileWatcherType": "none",
        "server.showEmailPrompt": False,
        "browser.gatherUsageStats": False,
        "client.showErrorDetails": "none",
        "client.showErrorLinks": False,
        "client.toolbarMode": "viewer",
        "runner.magicEnabled": False,
    }.items(),
)
def test_every_safe_default_is_set(option, value):
    assert launcher.safe_config(8501)[option] == value
    assert dict(flat(tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text("utf-8"))))[option] == value


def test_typing_streamlit_run_gets_the_same_options():
    typed = dict(flat(tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text("utf-8"))))
    differ = {key for key, value in launcher.safe_config(8501).items() if typed.get(key) != value}
    assert differ == {"server.port", "server.headless", "logger.hideWelcomeMessage"}
    assert set(typed) <= set(launcher.safe_config(8501))


def test_allowed_hosts_are_added_never_replaced():
    config = launcher.safe_config(8501, allow_hosts=["hub.example"])
    assert config["server.allowedHosts"] == ["localhost", "127.0.0.1", "hub.example"]
    assert "no login" in launcher.greeting(8501, ["hub.example"])[-1]


def test_the_greeting_over_ssh_has_the_tunnel(monkeypatch):
    monkeypatch.setenv("USER", "ada")
    lines = launcher.greeting(8600, remote=True)
    assert f"    ssh -N -L 8600:127.0.0.1:8600 ada@{socket.gethostname()}" in lines
    assert not any("ssh" in line for line in launcher.greeting(8600))


def test_a_taken_port_is_refused_and_the_next_free_one_found():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} .* a different program"):
            launcher.free_port(port)
    assert launcher.FIRST_PORT <= launcher.free_port() < launcher.FIRST_PORT + launcher.N_PORTS


@pytest.mark.parametrize("port", [0, -1, 65536, 99999])
def test_a_number_that_is_no_port_is_refused(port):
    with pytest.raises(InputError, match=f"no port {port}: ports are 1 to 65535"):
        launcher.free_port(port)


@pytest.mark.parametrize("name", ["a b", "*", "", "http://hub", "hub:8501", "hub/x", "a,b"])
def test_what_is_no_host_name_is_refused_before_anything_is_served(name):
    with pytest.raises(InputError, match="bad --allow-host"):
        launcher.launch(GOLDEN, allow_hosts=[name])


def test_host_names_are_taken():
    names = ["hub", "hub.example.org", "*.example.org", "10.0.0.7", "my_host"]
    assert [name for name in names if not launcher.HOST_NAME.fullmatch(name)] == []


def test_runs_are_found_by_their_manifest():
    assert launcher.find_runs(GOLDEN) == {"schema-1": GOLDEN}
    assert launcher.find_runs(GOLDEN.parent) == {"schema-1": GOLDEN}


def test_what_holds_no_run_is_refused_in_one_line(tmp_path):
    with pytest.raises(InputError, match=r"no run in .*manifest\.json; give the folder"):
        launcher.find_runs(tmp_path)
    with pytest.raises(InputError, match="there is no such folder"):
        launcher.find_runs(tmp_path / "gone")


def test_the_app_lies_in_the_checkout():
    assert launcher.app_script() == ROOT / "app" / "main.py"


def test_a_missing_folder_is_one_line_and_exit_2(tmp_path):
    done = command(tmp_path / "gone", "--no-browser")
    out, err = done.communicate(timeout=60)
    assert (done.returncode, out) == (2, "")
    assert err.startswith("error: no run folder")
    assert err.count("\n") == 1


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads the kernel's own list of listening sockets")
def test_it_serves_only_this_machine_and_ctrl_c_ends_it_cleanly():
    port = own_port()
    app = command(GOLDEN, "--no-browser", "--port", str(port))
    try:
        assert healthy(port)
        assert listening(port) == {"0100007F"}
        assert upgrade(port, "localhost") == 101
        assert upgrade(port, "evil.example") == 403
    finally:
        app.send_signal(signal.SIGINT)
        out, err = app.communicate(timeout=30)
    assert f"http://127.0.0.1:{port}" in out
    assert "Traceback" not in out + err
    assert app.returncode in (0, 130)


def command(*arguments):
    line = [sys.executable, "-m", "dpo_analysis", "app", *map(str, arguments)]
    environment = {key: value for key, value in os.environ.items() if key != launcher.RUN_VARIABLE}
    return subprocess.Popen(line, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def healthy(port):
    for _ in range(120):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=5) as answer:
                return answer.read() == b"ok"
        except OSError:
            time.sleep(0.25)
    return False


def listening(port):
    """The local addresses (hexadecimal, as the kernel writes them) that listen on ``port``, IPv4 and IPv6."""
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return {row[1].rpartition(":")[0] for row in rows if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port}


def upgrade(port, host):
    """The status with which a WebSocket asked for under this name is answered."""
    ask = (
        f"GET /_stcore/stream HTTP/1.1\r\nHost: {host}:{port}\r\nOrigin: http://{host}:{port}\r\nUpgrade: websocket\r\n"
    )
    ask += "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
        link.sendall(ask.encode())
        return int(link.recv(64).split()[1])
