"""Which requests reach the app: by host and origin, with and without a proxy, over HTTP and websockets."""

import asyncio

import pytest

from dpo_analysis.cli.server.request_guard import RequestGuard, host_name

LOCAL = ["localhost", "127.0.0.1"]


def answer(guard_hosts, *headers, kind="http"):
    """What the guard sends for a request, and whether the application behind it was asked."""
    asked, sent = [], []

    async def application(scope, receive, send):
        asked.append(scope["type"])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"Referrer-Policy", b"same-origin")]})

    async def receive():
        return {"type": f"{kind}.connect"}

    async def send(message):
        sent.append(message)

    scope = {"type": kind, "path": "/_stcore/metrics", "headers": [(n.encode(), v.encode()) for n, v in headers]}
    asyncio.run(RequestGuard(application, guard_hosts)(scope, receive, send))
    return sent, bool(asked)


@pytest.mark.parametrize(
    ("hosts", "host", "origin"),
    [
        (LOCAL, "127.0.0.1:8501", None),
        (LOCAL, "LOCALHOST:8501", "http://localhost:8501"),
        (LOCAL, "127.0.0.1:9000", "http://127.0.0.1:9000"),  # an SSH tunnel on another port
        (LOCAL, "localhost", "http://localhost"),
        ([*LOCAL, "hub.example.org"], "hub.example.org", "https://hub.example.org"),
        ([*LOCAL, "hub.example.org"], "127.0.0.1:8501", "https://hub.example.org"),
        ([*LOCAL, "*.example.org"], "a.b.example.org:443", "https://a.b.example.org"),
    ],
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_requests_to_its_names_from_its_pages_are_answered(hosts, host, origin, kind):
    headers = [("host", host), *([("origin", origin)] if origin else [])]
    assert answer(hosts, *headers, kind=kind)[1]


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("host", "")],
        [("host", "evil.example")],
        [("host", "127.0.0.1.evil.example:8501")],
        [("host", "localhost.evil.example")],
        [("host", "evil.example#localhost")],
        [("host", "localhost@evil.example")],
        [("host", "localhost:8501:1")],
        [("host", "localhost:http")],
        [("host", "example.org")],
        [("host", "notexample.org")],
        [("host", "localhost:8501"), ("host", "evil.example")],
        [("host", "localhost:8501"), ("origin", "http://evil.example")],
        [("host", "localhost:8501"), ("origin", "http://localhost:8888")],
        [("host", "localhost:8501"), ("origin", "http://127.0.0.1:8501")],
        [("host", "localhost:8501"), ("origin", "null")],
        [("host", "localhost:8501"), ("origin", "")],
        [("host", "localhost:8501"), ("origin", "file://localhost:8501")],
        [("host", "localhost:8501"), ("origin", "http://[")],
        [("host", "localhost:8501"), ("origin", "http://localhost:8501"), ("origin", "http://evil.example")],
        [("host", "x" * 300)],
    ],
)
def test_foreign_requests_are_refused_before_the_app_sees_them(headers):
    sent, asked = answer([*LOCAL, "*.example.org"], *headers)
    assert not asked
    assert sent[0]["status"] == 400
    sent, asked = answer([*LOCAL, "*.example.org"], *headers, kind="websocket")
    assert not asked
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_every_answer_has_the_headers_that_browsers_obey():
    for host in ("localhost:8501", "evil.example"):
        headers = dict(answer([*LOCAL, "hub.example.org"], ("host", host))[0][0]["headers"])
        assert headers[b"x-content-type-options"] == b"nosniff"
        frames = headers[b"content-security-policy"].decode()
        assert frames == "frame-ancestors 'self' http://127.0.0.1:* http://localhost:* hub.example.org"
    assert headers[b"referrer-policy"] == b"no-referrer"


def test_events_of_the_server_itself_pass():
    assert answer(LOCAL, kind="lifespan")[1]


def test_a_name_ends_at_its_port():
    assert [host_name(host) for host in ("A.b:80", "a.", "[::1]:80", "a b", "")] == ["a.b", "a", "", "", ""]
