"""What browsers may do: sign in and out, and nothing that a page of somebody else has them do."""

from __future__ import annotations

import ssl
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.gateway.access.people import Town, token_of
from tests.gateway.certificates import PEM
from tests.gateway.up import TOKEN, Up, WebClient

TLS = ("--tls-cert", str(PEM / "server.pem"), "--tls-key", str(PEM / "server.key"))
PEOPLE = {
    "viewer": 'subscribe = ["order.>"]\nadmin = ["order.>"]',
    "writer": 'publish = ["order.>"]\nservices = ["w"]',
}


@pytest.fixture
async def town(stack: AsyncExitStack, tmp_path: Path) -> Town:
    """A gateway with rules, which speaks HTTP."""
    return await Town(stack, tmp_path, PEOPLE, http=True).open()


async def signed_in(stack: AsyncExitStack, up: Up, name: str) -> tuple[WebClient, dict[str, Any]]:
    """A browser of somebody, and what the gateway said."""
    web = await stack.enter_async_context(WebClient(up))
    answer = await web.post("/v1/session", json={"token": token_of(name)})
    assert answer.status_code == 200, answer.text
    return web, answer.json()


# --- sessions -------------------------------------------------------------------------------------------------------


async def test_a_browser_signs_in_and_out(stack: AsyncExitStack, town: Town) -> None:
    web, told = await signed_in(stack, town.up, "writer")
    assert told["name"] == "writer"
    assert told["permissions"] == {"publish": ["order.>"]}
    assert (told["authenticated"], told["everything"], told["services"]) == (True, False, ["w"])
    who = (await web.get("/v1/session")).json()
    assert who["csrf"] == told["csrf"]
    event = {"topic": "order.new"}
    assert (await web.post("/v1/events", json=event)).status_code == 403
    assert (await web.post("/v1/events", json=event, headers={"x-csrf-token": "x" * 43})).status_code == 403
    csrf = {"x-csrf-token": told["csrf"]}
    assert (await web.post("/v1/events", json=event, headers=csrf)).status_code == 202
    assert (await web.post("/v1/events", json={"topic": "bank"}, headers=csrf)).status_code == 403
    assert (await web.delete("/v1/session")).status_code == 403
    kept = "; ".join(f"{name}={value}" for name, value in web.cookies.items())
    assert (await web.delete("/v1/session", headers=csrf)).status_code == 204
    assert not dict(web.cookies)
    assert (await web.get("/v1/session", headers={"cookie": kept})).status_code == 401


async def test_cookies_that_are_none(stack: AsyncExitStack, town: Town) -> None:
    web, _ = await signed_in(stack, town.up, "writer")
    (name, value), *_ = dict(web.cookies).items()
    stranger = await stack.enter_async_context(WebClient(town.up))
    for cookie in (
        f"{name}={value[:-1]}",
        f"{name}={value}x",
        f"{name}=",
        f"{name}",
        "=",
        f"{name}=\xff",
        f"{name}=a;" * 50,
    ):
        answer = await stranger.get("/v1/session", headers={"cookie": cookie.encode("latin-1")})
        assert answer.status_code == 401, cookie
    assert value not in town.up.text


async def test_the_cookie_is_for_us_alone(stack: AsyncExitStack, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    plain = await stack.enter_async_context(Up("--token-file", str(file), http=True))
    secure = await stack.enter_async_context(Up(*TLS, "--token-file", str(file), http=True))
    context = ssl.create_default_context(cafile=str(PEM / "authority.pem"))
    for up, name, more in ((plain, "tieline", set()), (secure, "__Host-tieline", {"secure"})):
        async with WebClient(up, verify=context) as web:
            answer = await web.post("/v1/session", json={"token": TOKEN})
            assert answer.json()["everything"]
            told = answer.headers["set-cookie"].lower().split("; ")
            assert told[0].startswith(f"{name.lower()}=")
            assert {"httponly", "samesite=strict", "path=/"} | more <= set(told)
            assert ("secure" in told) == bool(more)
            assert any(part.startswith("max-age=") for part in told)
            assert not any(part.startswith("domain") for part in told)


async def test_guessing_is_bounded_for_who_guesses(stack: AsyncExitStack, town: Town) -> None:
    web = await stack.enter_async_context(WebClient(town.up))
    codes = [(await web.post("/v1/session", json={"token": f"wrong-{n}"})).status_code for n in range(14)]
    assert set(codes) == {401, 429}
    assert codes[:10] == [401] * 10
    told = await web.post("/v1/session", json={"token": "wrong"})
    assert 0 < int(told.headers["retry-after"]) <= 60
    known = {"authorization": f"Bearer {token_of('writer')}"}
    assert (await web.get("/v1/session", headers=known)).status_code == 200


async def test_a_session_can_do_no_more_than_its_token(stack: AsyncExitStack, town: Town) -> None:
    web, told = await signed_in(stack, town.up, "viewer")
    assert (await web.get("/v1/dead-letters", params={"topic": "order.new"})).status_code == 200
    assert (await web.get("/v1/dead-letters", params={"topic": "bank.new"})).status_code == 403
    assert (await web.get("/v1/tap", params={"topic": "bank.>"})).status_code == 403
    assert (await web.get("/v1/services")).status_code == 403
    answer = await web.post("/v1/events", json={"topic": "order.new"}, headers={"x-csrf-token": told["csrf"]})
    assert answer.status_code == 403
    assert answer.json()["code"] == "PERMISSION_DENIED"


# --- pages of others ------------------------------------------------------------------------------------------------

FOREIGN = [
    {"origin": "https://evil.test"},
    {"origin": "null"},
    {"origin": "http://localhost:1"},
    {"origin": "file://"},
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
    {"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"},
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"},
    {"host": "evil.test"},
    {"host": "evil.test:8080"},
    {"host": "127.0.0.1.evil.test"},
]


async def test_a_page_of_another_origin_changes_nothing(web: WebClient, topic: str) -> None:
    """Also where nobody is asked who they are: everybody's browser can reach what listens on loopback."""
    for headers in FOREIGN:
        for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded"):
            answer = await web.post(
                "/v1/events", content=b'{"topic": "%s"}' % topic.encode(), headers={"content-type": kind, **headers}
            )
            assert answer.status_code in (403, 421), (headers, kind)
            assert answer.json()["code"] == "PERMISSION_DENIED"
            assert "access-control-allow-origin" not in answer.headers
        assert (await web.post("/v1/session", json={"token": "x"}, headers=headers)).status_code in (403, 421)
    for headers in FOREIGN[:2] + FOREIGN[4:6] + FOREIGN[7:]:
        for path in ("/v1/tap?topic=a", "/v1/services", "/metrics", "/dashboard/"):
            assert (await web.get(path, headers=headers)).status_code in (403, 421), (headers, path)
    preflight = {"origin": "https://evil.test", "access-control-request-method": "POST"}
    assert (await web.options("/v1/events", headers=preflight)).status_code == 403


async def test_our_own_pages_and_programs_may(web: WebClient, topic: str) -> None:
    host = httpx.URL(web.up.web).netloc.decode()
    port = host.rpartition(":")[2]
    for headers in (
        {},
        {"origin": f"http://{host}", "sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
        {"host": f"localhost:{port}", "origin": f"http://localhost:{port}"},
        {"host": f"[::1]:{port}"},
        {"host": "127.9.9.9"},
    ):
        assert (await web.post("/v1/events", json={"topic": topic}, headers=headers)).status_code == 202, headers
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert (await web.get("/dashboard/", headers=link)).status_code == 200
    assert (await web.get("/healthz", headers={"host": "evil.test"})).status_code == 200


async def test_a_name_behind_a_proxy_is_told(stack: AsyncExitStack, topic: str) -> None:
    up = await stack.enter_async_context(Up("--http-host", "Tieline.example", http=True))
    web = await stack.enter_async_context(WebClient(up))
    for headers in ({"host": "tieline.example"}, {"origin": "https://tieline.example"}):
        assert (await web.post("/v1/events", json={"topic": topic}, headers=headers)).status_code == 202
    assert (await web.get("/v1/services", headers={"host": "other.example"})).status_code == 421


async def test_answers_say_how_browsers_are_to_take_them(web: WebClient) -> None:
    for path in ("/v1/services", "/v1/nothing", "/healthz", "/dashboard/"):
        headers = (await web.get(path)).headers
        assert headers.get_list("x-content-type-options") == ["nosniff"], path
        assert headers["referrer-policy"] == "no-referrer"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]


@pytest.mark.parametrize("options", [(), TLS])
async def test_http_that_others_can_reach_needs_tls_and_authentication(options: tuple[str, ...]) -> None:
    up = Up(*options)
    up.command = [*up.command, "--http", "0.0.0.0:0"]
    assert await up.refuses() == 2
    assert "can be reached from elsewhere" in up.text
