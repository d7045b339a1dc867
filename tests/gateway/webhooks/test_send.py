"""`tieline webhook send`, as a command."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.gateway.certificates import PEM
from tests.gateway.commands import command
from tests.gateway.up import Up, WebClient
from tests.gateway.webhooks.inbox import Inbox
from tests.gateway.webhooks.senders import SECRET, STANDARD_SECRET, secret_file


async def test_a_delivery_of_github(hooks: WebClient, tmp_path: Path) -> None:
    (tmp_path / "push.json").write_text('{"ref":  "refs/heads/x"}')
    to = ("--secret", SECRET, "--url", f"{hooks.up.web}/webhooks/github", "--id", "d-1")
    sent = await command("webhook", "send", "github", "push", *to, "--data", f"@{tmp_path}/push.json")
    assert (sent.code, sent.out, sent.err) == (0, "202 accepted d-1\n", "")
    again = await command("webhook", "send", "github", "push", *to, "--json")
    assert again.code == 0
    told = {"http": 202, "delivery": "d-1", "answer": {"status": "duplicate", "delivery": "d-1"}}
    assert json.loads(again.out) == told
    async with Inbox(hooks.up, "webhook.github.push") as inbox:
        (event,) = await inbox.first(1)
    assert event.envelope.data == b'{"ref":  "refs/heads/x"}'


async def test_a_message_of_standard_webhooks(hooks: WebClient, tmp_path: Path) -> None:
    file = secret_file(tmp_path, STANDARD_SECRET, name="mine")
    to = ("--secret-file", str(file), "--url", f"{hooks.up.web}/webhooks/shop")
    sent = await command("webhook", "send", "standard", "invoice.paid", *to, "--data", '{"id": 7}')
    assert (sent.code, sent.out.startswith("202 accepted ")) == (0, True)
    async with Inbox(hooks.up, "webhook.shop.invoice.paid") as inbox:
        (event,) = await inbox.first(1)
    assert (event.data["type"], event.data["data"]) == ("invoice.paid", {"id": 7})


async def test_what_is_refused_ends_with_1(hooks: WebClient) -> None:
    to = ("--url", f"{hooks.up.web}/webhooks/github")
    sent = await command("webhook", "send", "github", "push", "--secret", "another secret, not it", *to)
    assert (sent.code, sent.out) == (1, "")
    assert sent.err.startswith("401 X-Hub-Signature-256 does not fit the body")
    sent = await command("webhook", "send", "github", "a.b", "--secret", SECRET, *to)
    assert (sent.code, sent.err[:4]) == (1, "400 ")
    sent = await command("webhook", "send", "github", "push", "--secret", SECRET, "--url", "http://127.0.0.1:1/x")
    assert (sent.code, "did not answer" in sent.err) == (1, True)


async def test_a_gateway_whose_authority_this_machine_does_not_know(stack: AsyncExitStack, tmp_path: Path) -> None:
    tls = ("--tls-cert", str(PEM / "server.pem"), "--tls-key", str(PEM / "server.key"))
    hook = ("--webhook", f"github={secret_file(tmp_path, SECRET)}")
    up = await stack.enter_async_context(Up(*tls, *hook, http=True))
    to = ("webhook", "send", "github", "push", "--secret", SECRET, "--url", f"{up.web}/webhooks/github")
    strange = await command(*to)
    assert (strange.code, "CERTIFICATE_VERIFY_FAILED" in strange.err) == (1, True)
    assert "give its authority with --ca-file" in strange.err
    assert (await command(*to, "--ca-file", str(PEM / "authority.pem"))).code == 0
    wrong = await command(*to, "--ca-file", str(PEM / "server.key"))
    assert (wrong.code, "server.key" in wrong.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["github", "push"], "give --secret or --secret-file"),
        (["github", "push", "--secret", "x" * 20, "--data", "{"], "--data is no JSON"),
        (["github", "push", "--secret", "x" * 20, "--data", "@missing.json"], "cannot read missing.json"),
        (["github", "push", "--secret", "short"], "at least 16 characters"),
        (["standard", "a", "--secret", "x" * 20], "whsec_"),
        (["github", "push", "--secret", "x" * 20, "--url", "nowhere"], "no URL to send to"),
        (["gitlab", "push", "--secret", "x" * 20], "'gitlab' is not one of"),
        (["github"], "Missing argument"),
    ],
)
async def test_what_cannot_be_sent_ends_with_2(arguments: list[str], says: str) -> None:
    sent = await command("webhook", "send", *arguments)
    assert (sent.code, sent.out) == (2, "")
    assert says in sent.err
