"""The OpenAPI document, and a fuzzer that takes it at its word."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from tests.gateway.up import Up, WebClient, system

ENDLESS = ("/v1/tap", "/v1/overview/stream", "/v1/replays")
CONFIG = """
[checks]
not_a_server_error.expected-statuses = ["2xx", "4xx", 501, 502, 503, 504]
"""
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
SECONDS = 300
EXAMPLES = "30" if os.environ.get("FAULTS_FULL") else "10"


async def test_the_document_is_one_and_describes_every_operation(web: WebClient) -> None:
    document = (await web.get("/openapi.json")).json()
    assert [str(error) for error in OPENAPI_31_VALIDATOR.iter_errors(document)] == []
    operations: list[Any] = [one for path in document["paths"].values() for one in path.values()]
    names = [one["operationId"] for one in operations]
    assert len(set(names)) == len(names) > 30
    for one in operations:
        assert {"400", "401", "403", "500", "503"} <= set(one["responses"])
    event = document["components"]["schemas"]["NewEvent"]["properties"]
    assert event["at"]["description"] == "Milliseconds since 1970."
    assert "Idempotency-Key" in [each["name"] for each in document["paths"]["/v1/events"]["post"]["parameters"]]


@pytest.mark.timeout(SECONDS + 60)
async def test_a_fuzzer_finds_no_defect(stack: AsyncExitStack, tmp_path: Path) -> None:
    history = f"sqlite://{tmp_path}/history"
    up = await stack.enter_async_context(Up("--history", history, http=True))
    events = await stack.enter_async_context(system(up))
    await events.subscribe("0", lambda data: data, group="g").ready()
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    without = [word for path in ENDLESS for word in ("--exclude-path", path)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(tmp_path / "schemathesis.toml"), "run",
        f"{up.web}/openapi.json", "--checks", CHECKS, "--max-examples", EXAMPLES, "--seed", "1", "--no-color", *without,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=tmp_path,
    )  # fmt: skip
    try:
        async with asyncio.timeout(SECONDS):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, said.decode()
    assert "Traceback" not in up.text
