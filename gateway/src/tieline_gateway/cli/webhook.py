"""`tieline webhook`: test deliveries, signed as GitHub or a sender of Standard Webhooks would; and the way out."""

from __future__ import annotations

import json
import ssl
import sys
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import httpx

from tieline_gateway.cli.deliveries import deliveries, resume
from tieline_gateway.cli.page import visible
from tieline_gateway.cli.visit import FAILED, USAGE, fail
from tieline_gateway.webhooks import github, standard

_URL = "http://127.0.0.1:8080/webhooks/"
_SECONDS = 15.0
_EXAMPLE = {"ref": "refs/heads/main", "repository": {"full_name": "octo-org/example"}, "sender": {"login": "octocat"}}


@click.group()
def webhook() -> None:
    """Try out webhooks, and look after deliveries to others."""


webhook.add_command(deliveries)
webhook.add_command(resume)


@webhook.command()
@click.argument("kind", type=click.Choice(["github", "standard"]))
@click.argument("event")
@click.option("--secret", default="", help="Sign with this; others may see it in the list of processes.")
@click.option(
    "--secret-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Sign with the first line of this file.",
)
@click.option("--url", default="", help=f"Where to; {_URL}KIND unless given.")
@click.option(
    "--ca-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="PEM file of the authorities to trust instead of the system's.",
)
@click.option("--data", default="", help="JSON, @FILE, or - for stdin: the body; of `standard`, its member data.")
@click.option("--id", "delivery", default="", help="Id of the delivery; a new one unless given.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def send(
    *, kind: str, event: str, secret: str, secret_file: Path | None, url: str, delivery: str, as_json: bool, **more: Any
) -> None:
    """Send one signed test delivery of EVENT, as `tieline webhook send github push --secret-file FILE`.

    Ends with 0 if it was taken, 1 if it was refused or nobody answered, 2 if it could not be sent as it was asked for.
    """
    text = _secret(secret, secret_file)
    delivery = delivery or str(uuid.uuid4())
    try:
        make = _github if kind == "github" else _standard
        headers, body = make(event, text, _document(more["data"]), delivery)
    except ValueError as error:
        fail(str(error), USAGE)
    target = url or f"{_URL}{kind}"
    try:
        answer = httpx.post(target, content=body, headers=headers, timeout=_SECONDS, verify=_trust(more["ca_file"]))
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        fail(f"{target} is no URL to send to: {error}", USAGE)
    except httpx.HTTPError as error:
        fail(f"{target} did not answer: {error or type(error).__name__}; {_advice(error)}", FAILED)
    _tell(answer, delivery, as_json=as_json)
    sys.exit(0 if answer.is_success else FAILED)


def _advice(error: httpx.HTTPError) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return "its certificate is not trusted here: give its authority with --ca-file"
    if "WRONG_VERSION_NUMBER" in str(error):
        return "it serves without TLS: use http://"
    return "is `tieline up` running there?"


def _trust(ca_file: Path | None) -> ssl.SSLContext | bool:
    if ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # an SSLError is one
        fail(f"cannot use {ca_file}: {error.strerror or error}", USAGE)


def _secret(secret: str, file: Path | None) -> str:
    if bool(secret) == (file is not None):
        fail("give --secret or --secret-file, the one that the gateway has", USAGE)
    if file is None:
        return secret
    try:
        return file.read_text().partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        fail(f"cannot read the secret file {file}: {error}", USAGE)


def _document(data: str) -> bytes:
    """What `--data` says; empty if it says nothing.

    Raises:
        ValueError: it is no JSON, or its file cannot be read.

    """
    if data == "-":
        told = sys.stdin.buffer.read()
    elif data.startswith("@"):
        try:
            told = Path(data[1:]).read_bytes()
        except OSError as error:
            raise ValueError(f"cannot read {data[1:]}: {error.strerror}") from None
    else:
        told = data.encode()
    try:
        if told or data:
            json.loads(told)
    except ValueError as error:
        raise ValueError(f"--data is no JSON: {error}") from None
    return told


def _github(event: str, secret: str, document: bytes, delivery: str) -> tuple[dict[str, str], bytes]:
    body = document or json.dumps(_EXAMPLE).encode()
    signature = github.sign(github.GitHub().secret(secret), body)
    names = {github.EVENT: event, github.DELIVERY: delivery, github.SIGNATURE: signature}
    return {**names, "content-type": "application/json", "user-agent": "tieline"}, body


def _standard(event: str, secret: str, document: bytes, delivery: str) -> tuple[dict[str, str], bytes]:
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    head = json.dumps({"type": event, "timestamp": moment})
    body = head[:-1].encode() + b', "data": ' + (document or b"{}") + b"}"
    now = int(time.time())
    signature = standard.sign([standard.read_secret(secret)], delivery, now, body)
    names = {standard.ID: delivery, standard.TIMESTAMP: str(now), standard.SIGNATURE: signature}
    return {**names, "content-type": "application/json", "user-agent": "tieline"}, body


def _tell(answer: httpx.Response, delivery: str, *, as_json: bool) -> None:
    try:
        told = answer.json()
    except ValueError:
        told = {}
    if as_json:
        click.echo(json.dumps({"http": answer.status_code, "delivery": delivery, "answer": told}))
        return
    said = told if isinstance(told, dict) else {}
    what = said.get("status") if answer.is_success else said.get("detail") or answer.reason_phrase
    click.echo(f"{answer.status_code} {visible(what or '')} {delivery}", err=not answer.is_success)
