"""What each thing that comes in needs to be allowed. Who may do everything is asked for nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tieline import codec, topics
from tieline._contract import contract
from tieline.errors import InvalidArgumentError, InvalidPayloadError, PermissionDeniedError
from tieline.transport import Interest, Route
from tieline_gateway.access.principal import Action, Principal

EVERYTHING = ">"
_HISTORY = f"{contract.HISTORY_TOPIC}."
_STRICT = (Route.OBSERVER, Route.MAIL)
_ON_TOPIC = {
    "append": Action.PUBLISH,
    "enroll": Action.SUBSCRIBE,
    "claim": Action.SUBSCRIBE,
    "settle": Action.SUBSCRIBE,
    "extend": Action.SUBSCRIBE,
}


def check_event(principal: Principal, topic: str) -> None:
    """Publishing an event: what the system says of itself, and of cron tasks, is said by its admins only.

    Raises:
        PermissionDeniedError: it may not.

    """
    principal.check(Action.ADMIN if topics.is_reserved(topic) else Action.PUBLISH, topic)


def check_request(principal: Principal, topic: str, data: bytes, content_type: str) -> None:
    """Sending a request; what is asked of the system itself depends on what it is.

    Raises:
        PermissionDeniedError: it may not.
        TielineError: what is asked of history cannot be read.

    """
    if not principal.restricted:
        return
    if topic == contract.ASK_TOPIC:
        principal.check(Action.ADMIN, EVERYTHING)
    elif topic.startswith(_HISTORY):
        _check_history(principal, topic.removeprefix(_HISTORY), _question(data, content_type))
    else:
        principal.check(Action.CALL, topic)


def check_responders(principal: Principal, topic: str) -> None:
    """Asking who answers requests on a topic.

    Raises:
        PermissionDeniedError: it may not.

    """
    if topic == contract.ASK_TOPIC:
        principal.check(Action.ADMIN, EVERYTHING)
    elif not topic.startswith(_HISTORY):
        principal.check(Action.CALL, topic)


def allowed_interests(principal: Principal, interests: Sequence[Interest]) -> list[Interest]:
    """Receiving something: what is allowed of it.

    A subscription of our clients is registered for the events and for the requests of its topic; who may have only the
    one is not given the other. Every instance answers for itself what the system asks it.

    Raises:
        PermissionDeniedError: nothing of some topic or pattern is allowed.

    """
    if not principal.restricted:
        return list(interests)
    allowed = [each for each in interests if _may_receive(principal, each)]
    left = {each.pattern for each in allowed}
    for each in interests:
        if each not in allowed and (each.pattern not in left or each.route in _STRICT):
            principal.check(_needed(each), each.pattern)
    return allowed


def _may_receive(principal: Principal, interest: Interest) -> bool:
    asked = interest.route is Route.REQUEST and interest.pattern == contract.ASK_TOPIC
    return asked or principal.may(_needed(interest), interest.pattern)


def _needed(interest: Interest) -> Action:
    return Action.SERVE if interest.route is Route.REQUEST else Action.SUBSCRIBE


def check_mail(principal: Principal, ask: str, topic: str) -> None:
    """Asking something of durable events, by the name of the ask in `MailRequest`.

    Raises:
        PermissionDeniedError: it may not.

    """
    principal.check(_ON_TOPIC.get(ask, Action.ADMIN), topic or EVERYTHING)


def may_plan(principal: Principal, topic: str) -> bool:
    """Whether somebody may see, move and cancel what is planned for a topic."""
    return principal.may(Action.PUBLISH, topic) or principal.may(Action.ADMIN, topic)


def may_count(principal: Principal) -> bool:
    """Whether somebody is told how many schedules or cron tasks there are: only who may see all of them.

    Others get the pages with what they may see, and no total.
    """
    return principal.may(Action.ADMIN, EVERYTHING)


def check_planned(principal: Principal, topic: str, id: str) -> None:
    """Seeing or changing one planned event.

    Raises:
        PermissionDeniedError: it may not; the topic is not told.

    """
    if not may_plan(principal, topic):
        raise PermissionDeniedError(f"{principal.name} may not see or change the schedule {id!r:.80}")


def check_task(principal: Principal, topic: str, name: str) -> None:
    """Seeing or changing one cron task.

    Raises:
        PermissionDeniedError: it may not; the topic is not told.

    """
    if not principal.may(Action.ADMIN, topic):
        raise PermissionDeniedError(f"{principal.name} may not see or change the cron task {name!r:.80}")


def check_history_of(principal: Principal, types: list[str]) -> None:
    """Reading events of history: of these topics and patterns, of all there are if there is none.

    Raises:
        PermissionDeniedError: it may not.

    """
    if principal.may(Action.ADMIN, EVERYTHING):
        return
    for pattern in types or (EVERYTHING, "system.>"):
        principal.check(Action.SUBSCRIBE, pattern)


def _check_history(principal: Principal, ask: str, question: Mapping[str, Any]) -> None:
    types = _types(question)
    if ask in ("list", "get", "data"):
        check_history_of(principal, types if ask == "list" else [])
        return
    for pattern in (types if ask in ("delete", "replay") and not question.get("ids") else []) or [EVERYTHING]:
        principal.check(Action.ADMIN, pattern)
    if question.get("to_topic"):
        principal.check(Action.PUBLISH, str(question["to_topic"]))


def _types(question: Mapping[str, Any]) -> list[str]:
    given = question.get("types") or []
    listed: Any = [given] if isinstance(given, str) else given
    if not isinstance(listed, list | tuple) or not all(isinstance(each, str) for each in listed):
        raise InvalidArgumentError(f"types is a topic or pattern, or a list of them, not {given!r:.80}")
    return [topics.check_pattern(each) for each in listed]


def _question(data: bytes, content_type: str) -> Mapping[str, Any]:
    question = codec.decode(data, content_type) or {}
    if not isinstance(question, Mapping):
        raise InvalidPayloadError("history is asked with a map")
    return question  # pyright: ignore[reportUnknownVariableType]
