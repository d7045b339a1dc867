"""The combinations: who calls, who answers, and what stands between them."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from typing import NamedTuple, Self

from tests.conformance._contract.case_pb2 import (
    FEATURE_CALLER_STORES_NOT,
    FEATURE_DURABLE,
    FEATURE_GATEWAY,
    FEATURE_HISTORY,
    FEATURE_IN_PROCESS,
    FEATURE_RECORDS_NOT,
    FEATURE_REDIS,
    FEATURE_REMOTE,
    FEATURE_RESPONDER_STORES_NOT,
    STRIKE_FREEZE_RESPONDER,
    STRIKE_KILL_BROKER,
    STRIKE_KILL_RESPONDER,
    STRIKE_START_BROKER,
)
from tests.conformance._contract.peer_pb2 import Command, Open
from tests.conformance.runner.peers import Peer, signal
from tests.conformance.runner.raw import Hear, Raw
from tests.conformance.runner.raw_link import RawLink
from tests.conformance.runner.raw_redis import RawRedis
from tests.gateway.up import Up
from tests.support.servers import RedisServer
from tieline import EventSystem, Settings

LANGUAGES = ("python", "node")
_SHORT = {"python": "py", "node": "node"}
_FEATURES = {
    "redis": {FEATURE_REMOTE, FEATURE_REDIS},
    "gateway": {FEATURE_REMOTE, FEATURE_GATEWAY},
    "gateway+redis": {FEATURE_REMOTE, FEATURE_GATEWAY},
    "memory": {FEATURE_IN_PROCESS},
}
_RECORDED = "*.h.>"
"""Which topics of cases are recorded, where a case asks for history."""

_STORE_AT = {"python": {"redis", "gateway", "gateway+redis", "memory"}, "node": {"redis", "gateway", "gateway+redis"}}
"""Where the client of a language has durable events; `cases/durable_nowhere.yaml` proves that elsewhere it refuses."""


class Combination(NamedTuple):
    """One column of the matrix."""

    broker: str
    caller: str
    responder: str

    @property
    def name(self) -> str:
        """As people and known_failing.txt write it: "redis py>node", "memory py"."""
        if self.broker == "memory":
            return f"memory {_SHORT[self.caller]}"
        return f"{self.broker} {_SHORT[self.caller]}>{_SHORT[self.responder]}"

    @property
    def features(self) -> set[int]:
        """What cases may need of it."""
        return _FEATURES[self.broker] | self._of_durable | {self._of_history}

    @property
    def _of_history(self) -> int:
        """Gateways and programs in Python record."""
        return FEATURE_RECORDS_NOT if self.broker == "memory" and self.caller == "node" else FEATURE_HISTORY

    @property
    def _of_durable(self) -> set[int]:
        caller, responder = (self.broker in _STORE_AT[language] for language in (self.caller, self.responder))
        lacking = {FEATURE_CALLER_STORES_NOT: caller, FEATURE_RESPONDER_STORES_NOT: responder}
        return {FEATURE_DURABLE} if caller and responder else {f for f, has in lacking.items() if not has}


COMBINATIONS = [
    *(Combination(b, c, r) for b in ("redis", "gateway", "gateway+redis") for c in LANGUAGES for r in LANGUAGES),
    *(Combination("memory", language, language) for language in LANGUAGES),
]


class Broker:
    """What one combination's peers connect to. With `recorded` somebody records there: a gateway, or the runner itself.

    In one process only the process itself can; its peer does.
    """

    def __init__(self, kind: str, *, recorded: bool = False) -> None:
        self.kind = kind
        self._folder = tempfile.TemporaryDirectory(prefix="tieline-history-") if recorded else None
        self.history = f"sqlite:///{self._folder.name}/history.db" if self._folder else ""
        self._recorder: EventSystem | None = None
        self.url = "memory://"
        self._redis: RedisServer | None = None
        self._gateway: Up | None = None

    async def start(self) -> Self:
        """Start the servers it is made of."""
        if "redis" in self.kind:
            self._redis = await asyncio.to_thread(RedisServer().start)
            self.url = self._redis.url
        if "gateway" in self.kind:
            behind = ["--redis-url", self._redis.url] if self._redis else []
            behind += ["--history", self.history, "--history-topic", _RECORDED] if self.history else []
            self._gateway = await Up(*behind).start()
            self.url = self._gateway.url
        elif self._redis and self.history:
            self._recorder = EventSystem(self.url, service="recorder", settings=Settings(system_events=False))
            await self._recorder.record(self.history, topics=_RECORDED)
        return self

    async def raw(self, inbox: Hear) -> Raw:
        """An instance of the runner's own."""
        if self._gateway:
            return await RawLink(self._gateway.address, inbox).open()
        assert self._redis is not None
        return await RawRedis(self._redis.port, inbox).open()

    def kill(self) -> None:
        """End, at once, what the clients speak to."""
        if self._gateway:
            self._gateway.kill()
        elif self._redis:
            self._redis.kill()

    async def start_again(self) -> None:
        """Bring back what was killed, at the same address."""
        if self._gateway:
            await self._gateway.start()
        elif self._redis:
            await asyncio.to_thread(self._redis.start)

    async def close(self) -> None:
        """End everything."""
        if self._recorder:
            await self._recorder.aclose(0)
        if self._gateway:
            await self._gateway.close()
        if self._redis:
            await asyncio.to_thread(self._redis.close)
        if self._folder:
            self._folder.cleanup()


class Place:
    """A combination that runs: a broker, two peers (one in process), and "caller" and "responder" on them.

    With `recorded` there is history, for cases that ask for it.
    """

    def __init__(
        self, combination: Combination, commands: dict[str, list[str]] | None = None, *, recorded: bool = False
    ) -> None:
        self.combination = combination
        self.broker = Broker(combination.broker, recorded=recorded)
        self._commands = commands or {}
        self._open = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._open.push_async_callback(self.broker.close)
        caller, responder = self.combination.caller, self.combination.responder
        one = self.combination.broker == "memory"
        starting = [self.broker.start(), self._start(caller), *([] if one else [self._start(responder)])]
        try:
            _, self.caller, *others = await asyncio.gather(*starting)
            self.responder: Peer = others[0] if others else self.caller
            self.instances = {"caller": await self._system(self.caller, "caller")}
            self.instances["responder"] = (
                self.instances["caller"] if one else await self._system(self.responder, "responder")
            )
        except BaseException:
            await self._open.aclose()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._open.aclose()

    async def strike(self, what: int) -> None:
        """Break something, or bring it back."""
        if what == STRIKE_KILL_RESPONDER:
            self.responder.expected_to_die = True
            self.responder.kill()
        elif what == STRIKE_FREEZE_RESPONDER:
            self.responder.signal(signal.SIGSTOP)
        elif what == STRIKE_KILL_BROKER:
            self.broker.kill()
        elif what == STRIKE_START_BROKER:
            await self.broker.start_again()

    async def _start(self, language: str) -> Peer:
        peer = Peer(language, self._commands.get(language))
        await peer.start()
        self._open.push_async_callback(peer.close)
        return peer

    async def _system(self, peer: Peer, name: str) -> str:
        wanted = Open(url=self.broker.url, service=name)
        if self.combination.broker == "memory" and self.broker.history:
            wanted.record, wanted.record_topics[:] = self.broker.history, [_RECORDED]
        answer = await peer.ask(Command(system=name, open=wanted))
        assert answer.WhichOneof("what") == "opened", answer
        return answer.opened.instance
