"""What may be wrong with a Redis server."""

from __future__ import annotations

from collections.abc import Iterator

from tieline.transports.redis_inspect import RedisFacts
from tieline_gateway.diagnosis.finding import Finding, error, fine, warning

_MUCH = 0.9
_SKEW_SECONDS = 1.0
_SLOW_SECONDS = 0.02
_PUBSUB_BYTES = 8 * 1024 * 1024
_SHOWN = 6
_MIB = 1024 * 1024


def check_redis(facts: RedisFacts) -> Iterator[Finding]:
    """All that can be said of it."""
    if facts.info:
        yield from _server(facts)
    else:
        advice = "ask as an administrator, who may use INFO and CONFIG GET"
        yield warning(
            "server", "this user may not ask the server about itself, so its settings were not looked at", advice
        )
    yield _rights(facts)
    yield _clock(facts)
    yield _latency(facts)


def _server(facts: RedisFacts) -> Iterator[Finding]:
    yield _version(facts)
    yield _role(facts)
    yield _loading(facts) or fine("ready", "it is not loading, and no script holds it up")
    yield _eviction(facts)
    yield _memory(facts)
    yield from _persistence(facts)
    yield from _replicas(facts)
    yield from _buffers(facts)
    yield _clients(facts)


def _version(facts: RedisFacts) -> Finding:
    kind = "Valkey" if "valkey_version" in facts.info else "Redis"
    return fine("version", f"{kind} {facts.info.get('valkey_version') or facts.info.get('redis_version', '?')}")


def _role(facts: RedisFacts) -> Finding:
    info = facts.info
    if info.get("role") == "master":
        return fine("role", "it is a primary")
    primary = f"{info.get('master_host')}:{info.get('master_port')}"
    return error(
        "role", f"it is a replica of {primary}, and refuses to write", f"give the address of the primary, {primary}"
    )


def _loading(facts: RedisFacts) -> Finding | None:
    if facts.info.get("loading") != "1":
        return None
    return error("ready", "it is still loading its data", "wait until it has; commands fail with LOADING until then")


def _eviction(facts: RedisFacts) -> Finding:
    info = facts.info
    policy, evicted = info.get("maxmemory_policy", "?"), _number(info, "evicted_keys")
    if policy != "noeviction":
        return error(
            "eviction",
            f"maxmemory-policy is {policy}: when memory is short Redis deletes stored events, groups and schedules",
            "CONFIG SET maxmemory-policy noeviction, and the same in redis.conf; a cache needs a Redis of its own",
        )
    if evicted:
        return warning(
            "eviction",
            f"maxmemory-policy is noeviction now, but {evicted:,} keys were evicted since the server started",
            "some of them may have been stored events; restart the server when it suits, and this count begins anew",
        )
    return fine("eviction", "maxmemory-policy is noeviction")


def _memory(facts: RedisFacts) -> Finding:
    used, most = _number(facts.info, "used_memory"), _number(facts.info, "maxmemory")
    if not most:
        total = _number(facts.info, "total_system_memory")
        if total and used > _MUCH * total:
            return _scarce(used, total, "the machine has")
        return fine("memory", f"{used / _MIB:,.0f} MiB are used, and maxmemory is not set")
    if used > _MUCH * most:
        return _scarce(used, most, "maxmemory is")
    return fine("memory", f"{used / _MIB:,.0f} of {most / _MIB:,.0f} MiB are used")


def _scarce(used: int, most: int, what: str) -> Finding:
    return error(
        "memory",
        f"{used / _MIB:,.0f} MiB are used, and {what} {most / _MIB:,.0f}: soon nothing can be stored (OVERLOADED)",
        "raise maxmemory, or look what waits: tieline groups list, tieline dlq list",
    )


def _persistence(facts: RedisFacts) -> Iterator[Finding]:
    info, settings = facts.info, facts.settings
    if info.get("rdb_last_bgsave_status", "ok") != "ok" or info.get("aof_last_write_status", "ok") != "ok":
        yield error(
            "persistence",
            "the last save to disk failed, and Redis may refuse to write (MISCONF)",
            "look into its log: a full disk, or a folder it may not write to",
        )
    elif info.get("aof_enabled") == "1":
        yield fine("persistence", "the append-only file is on")
    elif settings is None:
        yield warning(
            "persistence",
            "the append-only file is off, and this user may not ask for snapshots (CONFIG GET)",
            "make sure that 'save' or 'appendonly yes' is in redis.conf, if stored events are to outlive a restart",
        )
    elif settings.get("save"):
        yield warning(
            "persistence",
            f"only snapshots (save {settings['save']}): what was stored since the last one is lost with a crash",
            "CONFIG SET appendonly yes, and the same in redis.conf, if that is too much",
        )
    else:
        yield warning(
            "persistence",
            "nothing is written to disk: stored events, schedules and cron tasks are lost when Redis restarts",
            "CONFIG SET appendonly yes, and the same in redis.conf; live events and calls do not need it",
        )


def _replicas(facts: RedisFacts) -> Iterator[Finding]:
    wanted = _number(facts.settings or {}, "min-replicas-to-write")
    if not wanted:
        return
    good = _number(facts.info, "min_slaves_good_slaves")
    if good < wanted:
        yield error(
            "replicas",
            f"min-replicas-to-write is {wanted}, and {good} replicas are in step: Redis refuses to write (NOREPLICAS)",
            "bring the replicas back, or lower min-replicas-to-write",
        )
    else:
        yield fine("replicas", f"{good} are in step, {wanted} must be")


def _buffers(facts: RedisFacts) -> Iterator[Finding]:
    cut_off = _number(facts.info, "client_output_buffer_limit_disconnections")
    hard = _pubsub_limit(facts.settings)
    if hard is not None and 0 < hard < _PUBSUB_BYTES:
        yield warning(
            "buffers",
            f"client-output-buffer-limit cuts subscribers off at {hard / _MIB:.1f} MiB that they have not read yet",
            "CONFIG SET client-output-buffer-limit 'pubsub 32mb 8mb 60', as it is by itself, or more",
        )
    elif cut_off:
        yield warning(
            "buffers",
            f"{cut_off:,} clients were cut off because they read too slowly",
            "live events were lost there: look for blocked loops (system.warning), or raise the limit of 'pubsub'",
        )
    else:
        yield fine("buffers", "no client was cut off because it read too slowly")


def _pubsub_limit(settings: dict[str, str] | None) -> int | None:
    """The hard limit of the class of subscribers (bytes; 0 for none)."""
    words = (settings or {}).get("client-output-buffer-limit", "").split()
    return int(words[words.index("pubsub") + 1]) if "pubsub" in words else None


def _clients(facts: RedisFacts) -> Finding:
    now, most = _number(facts.info, "connected_clients"), _number(facts.info, "maxclients")
    if most and now > _MUCH * most:
        return error("clients", f"{now:,} of {most:,} connections are used", "raise maxclients, or find who leaks them")
    return fine("clients", f"{now:,} of {most:,} connections are used")


def _rights(facts: RedisFacts) -> Finding:
    denied = facts.denied
    if denied is None:
        who = f"the user {facts.user}" if facts.user else "this user"
        return warning(
            "rights",
            f"{who} may not ask what it may do (ACL DRYRUN), so that was not looked at",
            "ask as an administrator, or compare its rights with docs/redis-acl.md",
        )
    if not denied:
        return fine("rights", f"the user {facts.user} may do all that is needed")
    more = f", and {len(denied) - _SHOWN} more" if len(denied) > _SHOWN else ""
    return error("rights", f"{'; '.join(denied[:_SHOWN])}{more}", "docs/redis-acl.md has the rights that are needed")


def _clock(facts: RedisFacts) -> Finding:
    if abs(facts.skew) <= _SKEW_SECONDS:
        return fine("clock", f"this machine is {abs(facts.skew) * 1000:.0f} ms off the broker's clock")
    way = "ahead of" if facts.skew > 0 else "behind"
    return warning(
        "clock",
        f"this machine is {abs(facts.skew):,.1f} s {way} the broker's clock, by which everything happens",
        "run NTP (chrony, systemd-timesyncd) on both; moments given with --at mean another time there",
    )


def _latency(facts: RedisFacts) -> Finding:
    middle, worst = facts.latency[len(facts.latency) // 2], facts.latency[-1]
    told = f"a PING takes {middle * 1000:.2f} ms, the slowest of {len(facts.latency)} took {worst * 1000:.1f} ms"
    if middle <= _SLOW_SECONDS:
        return fine("latency", told)
    return warning(
        "latency", told, "each call needs four such ways: move closer, or look for SLOWLOG GET on the server"
    )


def _number(told: dict[str, str], name: str) -> int:
    value = told.get(name, "")
    return int(value) if value.isdecimal() else 0
