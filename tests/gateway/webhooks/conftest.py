"""Gateways that take webhooks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.gateway.up import Up, WebClient
from tests.gateway.webhooks.senders import SECRET, STANDARD_SECRET, secret_file

Make = Callable[..., Awaitable[WebClient]]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration with both kinds of senders."""
    secret_file(tmp_path, SECRET, name="github.secret")
    secret_file(tmp_path, STANDARD_SECRET, name="shop.secret")
    path = tmp_path / "tieline.toml"
    path.write_text(
        """
        [webhooks.github]
        secret_file = "github.secret"

        [webhooks.shop]
        kind = "standard"
        secret_file = "shop.secret"
        """
    )
    return path


@pytest.fixture
async def serve(stack: AsyncExitStack) -> Make:
    """Starts gateways; returns an HTTP client of each."""

    async def make(*options: str | Path, **more: object) -> WebClient:
        up = await stack.enter_async_context(Up(*map(str, options), http=True, **more))  # type: ignore[arg-type]
        return await stack.enter_async_context(WebClient(up))

    return make


@pytest.fixture
async def hooks(serve: Make, config: Path) -> WebClient:
    """An embedded gateway that takes both."""
    return await serve("--config", config, "--verbose")
