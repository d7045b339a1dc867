"""`[principals.NAME]` of the configuration: who it is, what it may do, and how much."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import msgspec

from tieline import topics
from tieline.errors import TielineError
from tieline_gateway.access.limits import Limits, Meter
from tieline_gateway.access.permissions import Action, Permissions
from tieline_gateway.access.principal import Principal

_is_name = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@:/-]{0,127}").fullmatch
_is_hash = re.compile(r"[0-9a-f]{64}").fullmatch


class RulesError(Exception):
    """The rules cannot be meant; the message says why."""


class Rules(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What a principal may do. Lists hold topics and patterns; what is not listed is denied, and deny wins."""

    everything: bool = False
    """No rules: all is allowed, under every name of a service."""
    services: list[str] | None = None
    publish: list[str] = []
    subscribe: list[str] = []
    call: list[str] = []
    serve: list[str] = []
    admin: list[str] = []
    deny_publish: list[str] = []
    deny_subscribe: list[str] = []
    deny_call: list[str] = []
    deny_serve: list[str] = []
    deny_admin: list[str] = []
    limits: Limits = Limits()


class PrincipalConfig(Rules, forbid_unknown_fields=True, omit_defaults=True):
    """One table `[principals.NAME]`."""

    tokens_sha256: list[str] = []
    """SHA-256 of tokens, in hexadecimal; `tieline token hash` makes one."""
    certificates: list[str] = []
    """Names in client certificates: SAN (DNS, URI, e-mail), or the common name of one without any."""


def check_rules(name: str, rules: Rules) -> None:
    """Refuse what cannot be meant.

    Raises:
        RulesError: a name, a pattern, a service or a hash is none.

    """
    if not _is_name(name):
        raise RulesError(f"{name!r:.80} is no name for a principal: letters, digits and _ . @ : / -, at most 128")
    lists = _lists(rules)
    for field, patterns in lists.items():
        for pattern in patterns:
            _check(name, field, topics.check_pattern, pattern)
    for service in rules.services or ():
        _check(name, "services", topics.check_group, service)
    if rules.everything and (rules.services is not None or any(lists.values())):
        raise RulesError(f"principal {name!r}: with everything = true there are no services and no rules")
    for told in rules.tokens_sha256 if isinstance(rules, PrincipalConfig) else ():
        if not _is_hash(told):
            raise RulesError(f"principal {name!r}: tokens_sha256 holds SHA-256 sums, 64 digits 0-9 a-f each")


def principal(name: str, rules: Rules, meter: Meter | None = None) -> Principal:
    """Make the principal of checked rules."""
    meter = meter if meter is not None and meter.limits == rules.limits else Meter(rules.limits)
    if rules.everything:
        return Principal(name=name, meter=meter)
    lists = _lists(rules)
    permissions = Permissions(
        {action: lists[action] for action in Action}, {action: lists[f"deny_{action}"] for action in Action}
    )
    services = None if rules.services is None else frozenset(rules.services)
    return Principal(name=name, permissions=permissions, services=services, meter=meter)


def _lists(rules: Rules) -> Mapping[str, list[str]]:
    names = [name for action in Action for name in (str(action), f"deny_{action}")]
    return {name: getattr(rules, name) for name in names}


def _check(name: str, field: str, check: Callable[[str], str], given: str) -> None:
    try:
        check(given)
    except TielineError as error:
        raise RulesError(f"principal {name!r}: {field}: {error.message}") from None
