"""What is measured: one row for each way to make a call."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NODE_PEERS = ROOT / "bench" / "peers"
NODE_MODULES = ROOT / "bench" / "node_modules"
NOT_INSTALLED = "its packages are not installed: npm ci in bench/"
NODE_NEEDS = {
    "tieline_node.mjs": (ROOT / "clients" / "node" / "dist" / "index.js", "the Node client is not built: make setup"),
    "nats_node.mjs": (NODE_MODULES / "@nats-io" / "transport-node", NOT_INSTALLED),
    "moleculer_node.mjs": (NODE_MODULES / "moleculer", NOT_INSTALLED),
    "bullmq_node.mjs": (NODE_MODULES / "bullmq", NOT_INSTALLED),
    "delayed_bullmq.mjs": (NODE_MODULES / "bullmq", NOT_INSTALLED),
    "durable_bullmq.mjs": (NODE_MODULES / "bullmq", NOT_INSTALLED),
}


@dataclass(frozen=True)
class Row:
    """One way to make a call in one language: rows of the same title share a line of the table.

    `broker` is what stands between the two processes: redis, nats, gateway, http (that of a gateway), none or
    http-alone (the responder is a server itself), inside (there is one process), or sqlite-disk (one, and its file).
    `responder` is the peer that serves, `caller` the one that calls; a name that ends in .mjs is a Node program, any
    other a module of `bench.peers`.
    """

    name: str
    title: str
    broker: str
    caller: str
    responder: str = ""
    kind: str = "calls"
    quick: bool = False

    @property
    def language(self) -> str:
        """What the caller is written in."""
        return "Node" if self.caller.endswith(".mjs") else "Python"

    def missing(self) -> str:
        """Why it cannot be measured here; empty if it can."""
        if self.caller not in NODE_NEEDS:
            return ""
        needed, advice = NODE_NEEDS[self.caller]
        if shutil.which("node") is None:
            return "there is no node on PATH"
        return "" if needed.exists() else advice


def command(program: str, *arguments: str) -> list[str]:
    """How a peer is started."""
    if program.endswith(".mjs"):
        return ["node", str(NODE_PEERS / program), *arguments]
    return [sys.executable, "-m", f"bench.peers.{program}", *arguments]


def _same(name: str, title: str, broker: str, program: str, *, quick: bool = False) -> Row:
    return Row(name, title, broker, program, program, quick=quick)


ROWS = (
    _same("tieline-python", "Tieline over Redis", "redis", "tieline_python", quick=True),
    _same("tieline-node", "Tieline over Redis", "redis", "tieline_node.mjs", quick=True),
    _same("raw-link", "raw link: encode, dispatch, echo, decode, a command a call", "redis", "raw_link", quick=True),
    _same("raw-frames", "raw link, with the client's frames", "redis", "raw_frames"),
    _same("nats-py", "NATS `request` (nats-py, nats.js)", "nats", "nats_python", quick=True),
    _same("nats-js", "NATS `request` (nats-py, nats.js)", "nats", "nats_node.mjs"),
    _same("faststream-redis", "FastStream `request` over Redis", "redis", "faststream_redis"),
    _same("moleculer", "Moleculer `broker.call` over Redis", "redis", "moleculer_node.mjs"),
    _same("bullmq", "BullMQ `job.waitUntilFinished`", "redis", "bullmq_node.mjs"),
    _same("link-link", "Tieline Link to Link, embedded gateway", "gateway", "tieline_python"),
    Row("grpc-unary", "gRPC `PublishAndWait`, embedded gateway", "gateway", "grpc_stub", "tieline_python"),
    Row("grpc-noop", "grpcio aio unary, a server that echoes", "none", "grpc_stub", "grpc_noop"),
    Row("in-process", "Tieline, in one process", "inside", "in_process", quick=True),
    Row("faststream", "FastStream `request`, in memory", "inside", "faststream_memory"),
    Row("features", "streams, keys, explain", "redis", "call_features", "call_features", kind="features"),
    Row("durable", "Tieline over Redis, in memory", "redis", "durable_tieline", kind="durable"),
    Row("jetstream", "JetStream, in memory", "jetstream", "durable_jetstream", kind="durable"),
    Row("durable-bullmq", "BullMQ, in memory (no keys)", "redis", "durable_bullmq.mjs", kind="durable"),
    Row("durable-disk", "Tieline over Redis, every write on disk", "redis-disk", "durable_tieline", kind="durable"),
    Row(
        "jetstream-disk",
        "JetStream (nats-py), every write on disk",
        "jetstream-disk",
        "durable_jetstream",
        kind="durable",
    ),
    Row(
        "durable-sqlite",
        "Tieline in a SQLite file, every write on disk",
        "sqlite-disk",
        "durable_tieline",
        kind="durable",
    ),
    Row("delayed", "Tieline over Redis", "redis", "delayed_tieline", kind="delayed"),
    Row("delayed-bullmq", "BullMQ, delayed jobs", "redis", "delayed_bullmq.mjs", kind="delayed"),
    Row("recording-sqlite", "into SQLite", "redis+sqlite", "recording", kind="recording"),
    Row("recording-postgres", "into PostgreSQL, fsync on", "redis+postgres", "recording", kind="recording"),
    Row("http-noop", "bare Starlette, a no-op", "http-alone", "http_publish", "http_noop", kind="http"),
    Row("http-publish", "`POST /v1/events`, embedded gateway", "http", "http_publish", kind="http"),
    Row("http-publish-redis", "`POST /v1/events`, gateway over Redis", "http+redis", "http_publish", kind="http"),
    Row("http-webhooks", "webhooks, stored, gateway over Redis", "http+redis", "http_webhooks", kind="http"),
    Row("keys", "100,000 keys that come and go", "redis", "durable_keys", "durable_keys", kind="keys"),
    Row("pending", "100,000 calls pending in one process", "redis", "pending_calls", "pending_calls", kind="memory"),
)


def choose(names: str, *, quick: bool) -> list[Row]:
    """The rows that were asked for by name, else all of them, or the quick ones.

    Raises:
        ValueError: there is no row of that name.
    """
    if not names:
        return [row for row in ROWS if row.quick or not quick]
    known = {row.name: row for row in ROWS}
    wanted = [name.strip() for name in names.split(",")]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ValueError(f"no row {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in wanted]
