"""Those who send webhooks: they sign as the documents of GitHub and of Standard Webhooks say, without our code."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import uuid
from pathlib import Path
from typing import Any

import httpx

from tests.gateway.up import WebClient

SECRET = "It's a Secret to Everybody"
STANDARD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PUSH = {"ref": "refs/heads/main", "repository": {"full_name": "octo-org/example", "html_url": "https://github.com/o/e"}}


def secret_file(folder: Path, *secrets: str, name: str = "secret") -> Path:
    """A file with these secrets."""
    path = folder / name
    path.write_text("".join(f"{secret}\n" for secret in secrets))
    return path


def body_of(data: Any) -> bytes:
    """Bytes as no JSON library would write them again."""
    return json.dumps(data, indent=3).encode()


def github_headers(body: bytes, event: str = "push", delivery: str = "", secret: str = SECRET) -> dict[str, str]:
    """What GitHub sends with a body."""
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    old = hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()
    return {
        "content-type": "application/json",
        "user-agent": "GitHub-Hookshot/044aadd",
        "x-github-event": event,
        "x-github-delivery": delivery or str(uuid.uuid4()),
        "x-hub-signature": f"sha1={old}",
        "x-hub-signature-256": f"sha256={signature}",
    }


async def github(
    web: WebClient, data: Any = PUSH, event: str = "push", delivery: str = "", source: str = "github", **headers: str
) -> httpx.Response:
    """Deliver as GitHub does; `headers` are put in the place of its own, empty ones left out."""
    body = data if isinstance(data, bytes) else body_of(data)
    theirs = {**github_headers(body, event, delivery), **{name.replace("_", "-"): v for name, v in headers.items()}}
    return await web.post(
        f"/webhooks/{source}", content=body, headers={name: value for name, value in theirs.items() if value}
    )


def standard_headers(
    body: bytes, delivery: str = "", at: float | None = None, secrets: tuple[str, ...] = (STANDARD_SECRET,)
) -> dict[str, str]:
    """What a sender of Standard Webhooks sends with a body."""
    delivery, timestamp = delivery or f"msg_{uuid.uuid4().hex}", int(time.time() if at is None else at)
    content = f"{delivery}.{timestamp}.".encode() + body
    keys = [base64.b64decode(secret.removeprefix("whsec_")) for secret in secrets]
    signatures = [base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode() for key in keys]
    return {
        "content-type": "application/json",
        "webhook-id": delivery,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


async def standard(web: WebClient, data: Any, source: str = "shop", **signing: Any) -> httpx.Response:
    """Deliver by Standard Webhooks."""
    body = data if isinstance(data, bytes) else body_of(data)
    return await web.post(f"/webhooks/{source}", content=body, headers=standard_headers(body, **signing))
