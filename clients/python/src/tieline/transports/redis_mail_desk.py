"""What people ask of durable events on Redis: groups, figures, dead letters, parked keys (SPEC.md, section 14)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tieline._contract import contract, scripts
from tieline.durable.mail import GroupFigures, Letter, Redriven
from tieline.transports.redis_link import LinkDownError, ReplyError, pack
from tieline.transports.redis_server import command_error
from tieline.transports.redis_work import WorkLink

_PAGE = 500
_NO_TEXT = "\N{REPLACEMENT CHARACTER}"


class RedisMailDesk:
    """Looks into the mail of an installation, and sorts out what got stuck; part of `RedisMail`."""

    work: WorkLink

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    async def topics(self) -> list[str]:
        """See `Mail.topics`."""
        return sorted(map(bytes.decode, await self._call("SMEMBERS", contract.mail_topics_key(self._prefix))))

    async def groups(self, topic: str) -> list[GroupFigures]:
        """See `Mail.groups`."""
        told = await self._call("HGETALL", contract.mail_groups_key(self._prefix, topic))
        pairs = told.items() if isinstance(told, dict) else zip(told[::2], told[1::2], strict=True)
        return [await self._figures(topic, group.decode(), int(since)) for group, since in sorted(pairs)]

    async def _figures(self, topic: str, group: str, since: int) -> GroupFigures:
        names = scripts.measure_names(self._prefix, topic, group)
        cursor, sums, moments = b"0", [0, 0, 0], list[int]()
        while True:
            cursor, *counts, oldest = await self._run(scripts.MEASURE, names, [topic.encode(), group.encode(), cursor])
            sums = [total + int(count) for total, count in zip(sums, counts, strict=True)]
            if oldest:
                moments.append(int(oldest))
            if cursor == b"0":
                break
        parked = await self._call("HLEN", contract.parked_key(self._prefix, topic, group))
        keys, waiting, pending = sums
        return GroupFigures(group, since, keys, waiting, pending, parked, min(moments, default=None))

    async def dismiss(self, topic: str, group: str) -> bool:
        """See `Mail.dismiss`."""
        return bool(await self._run(scripts.DISMISS, scripts.dismiss_names(self._prefix, topic), [group.encode()]))

    async def letters(self, topic: str, after: str, limit: int) -> list[Letter]:
        """See `Mail.letters`."""
        first = f"({after}" if after else "-"
        found = await self._call("XRANGE", contract.dead_key(self._prefix, topic), first, "+", "COUNT", limit)
        return [Letter(entry.decode(), fields[1]) for entry, fields in found]

    async def redrive(self, topic: str, letters: Sequence[Redriven]) -> list[str]:
        """See `Mail.redrive`."""
        names, moved = scripts.redrive_names(self._prefix, topic), list[str]()
        for at in range(0, len(letters), _PAGE):
            arguments: list[bytes] = []
            for entry, group, key, priority, envelope in letters[at : at + _PAGE]:
                arguments += (entry.encode(), group.encode(), key.encode(), b"%d" % priority, envelope)
            moved += map(bytes.decode, await self._run(scripts.REDRIVE, names, arguments))
        return moved

    async def purge(self, topic: str, ids: Sequence[str]) -> int:
        """See `Mail.purge`."""
        deleted = 0
        for at in range(0, len(ids), _PAGE):
            deleted += await self._call("XDEL", contract.dead_key(self._prefix, topic), *ids[at : at + _PAGE])
        return deleted

    async def parked(self, topic: str, group: str) -> list[Letter]:
        """See `Mail.parked`."""
        return [Letter(_shown(name), letter) for name, letter in await self._parked(topic, group)]

    async def _parked(self, topic: str, group: str) -> list[tuple[bytes, bytes]]:
        """Keys as the broker has them, and what stopped them."""
        found, cursor = dict[bytes, bytes](), b"0"
        while True:
            key = contract.parked_key(self._prefix, topic, group)
            cursor, page = await self._call("HSCAN", key, cursor, "COUNT", _PAGE)
            found |= dict(zip(page[::2], page[1::2], strict=True))
            if cursor == b"0":
                return sorted(found.items())

    async def unpark(self, topic: str, group: str, key: str, *, skip: bool) -> bool:
        """See `Mail.unpark`. A key that is no text has the name under which it is shown."""
        if await self._unpark(topic, group, key.encode(), skip):
            return True
        if _NO_TEXT in key:
            for name, _ in await self._parked(topic, group):
                if _shown(name) == key and await self._unpark(topic, group, name, skip):
                    return True
        return False

    async def _unpark(self, topic: str, group: str, key: bytes, skip: bool) -> bool:
        names = scripts.unpark_names(self._prefix, topic, group)
        return bool(await self._run(scripts.UNPARK, names, [topic.encode(), group.encode(), key, b"%d" % skip]))

    async def _run(self, script: scripts.Script, names: Sequence[str], arguments: Sequence[bytes]) -> Any:
        try:
            return await self.work.run(script, names, arguments)
        except (LinkDownError, ReplyError) as error:
            raise command_error(error) from None

    async def _call(self, *command: str | bytes | int) -> Any:
        try:
            return await self.work.call(pack(*command))
        except (LinkDownError, ReplyError) as error:
            raise command_error(error) from None


def _shown(key: bytes) -> str:
    """A key as people see it; a plain producer's may be no text."""
    return key.decode("utf-8", "replace")
