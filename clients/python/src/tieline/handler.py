"""What a subscriber's function wants: its arguments, its annotation, its colour."""

from __future__ import annotations

import asyncio
import functools
import inspect
import typing
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Any, NamedTuple

import msgspec

from tieline.calls.streaming import from_thread
from tieline.context import Event
from tieline.errors import InvalidArgumentError, InvalidPayloadError
from tieline.schemas import item_of, json_schema
from tieline.threads import HandlerThreads

THREADS = 64
"""So many synchronous handlers run at a time in one process, those aside that wait for a call of their own."""

_threads = HandlerThreads(THREADS)  # asyncio's own also look up the names of hosts, and must not wait for handlers

Invoke = Callable[[Any, Event], Awaitable[Any]]
Convert = Callable[[Any], Any]


class Handler(NamedTuple):
    """A function, ready to be called with a payload and its event."""

    function: Callable[..., Any]
    invoke: Invoke
    convert: Convert | None
    streams: bool = False
    takes: Any = Any
    gives: Any = Any

    @property
    def input_schema(self) -> dict[str, Any] | None:
        """JSON Schema of the payload, if the function says what it takes."""
        return json_schema(self.takes)

    @property
    def output_schema(self) -> dict[str, Any] | None:
        """JSON Schema of the reply or of each item, if the function says what it gives."""
        return json_schema(item_of(self.gives) if self.streams else self.gives)


def bind(function: Callable[..., Any]) -> Handler:
    """Look at a function once: `f()`, `f(data)`, `f(data, event)` or `f(event: Event)`, synchronous or not.

    The annotation of `data` validates the payload. Synchronous functions run in threads. Generators of either colour
    stream what they yield.

    Raises:
        InvalidArgumentError: it cannot be called, or takes other arguments.

    """
    if not callable(function):
        raise InvalidArgumentError(f"a handler must be callable, not {type(function).__name__}")
    slots, annotation = _arguments(function)
    plain = _with_arguments(function, slots)
    invoke, streams = _invoking(function, plain)
    return Handler(function, invoke, _converter(annotation), streams, annotation, _hints(function).get("return", Any))


def _invoking(function: Callable[..., Any], plain: Callable[[Any, Event], Any]) -> tuple[Invoke, bool]:
    """How to call a function of its colour, and whether it streams."""
    if _is_a(inspect.isasyncgenfunction, function):
        return _generating(plain), True
    if _is_a(inspect.isgeneratorfunction, function):
        return _generating_in_thread(plain), True
    return plain if _is_a(inspect.iscoroutinefunction, function) else _in_thread(plain), False


def _arguments(function: Callable[..., Any]) -> tuple[tuple[str, ...], Any]:
    """Which of data and event the function takes, in its order, and the annotation of data."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return ("data",), Any  # a builtin that does not say
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = [p for p in signature.parameters.values() if p.kind in kinds]
    if any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in signature.parameters.values()) and not parameters:
        return ("data",), Any
    required = [p for p in parameters if p.default is inspect.Parameter.empty]
    if len(required) > 2:
        raise InvalidArgumentError(f"{_name(function)} needs {len(required)} arguments; a handler takes data and event")
    taken = parameters[: max(len(required), min(len(parameters), 1))]
    hints = _hints(function)
    slots: list[str] = []
    annotation: Any = Any
    for parameter in taken:
        hint = hints.get(parameter.name, Any)
        if hint is Event or "data" in slots:
            slots.append("event")
        else:
            slots.append("data")
            annotation = hint
    return tuple(slots), annotation


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    target = _innermost(function)
    if not (inspect.isroutine(target) or inspect.isclass(target)):
        target = type(target).__call__
    try:
        return typing.get_type_hints(target, include_extras=True)
    except Exception as error:  # an annotation that cannot be resolved would silently not validate
        raise InvalidArgumentError(f"the annotations of {_name(function)} cannot be resolved: {error}") from error


def _innermost(function: Callable[..., Any]) -> Callable[..., Any]:
    while isinstance(function, functools.partial):
        function = function.func
    return function


def _with_arguments(function: Callable[..., Any], slots: tuple[str, ...]) -> Callable[[Any, Event], Any]:
    if slots == ("data",):
        return lambda data, event: function(data)
    if slots == ("data", "event"):
        return function
    if slots == ("event",):
        return lambda data, event: function(event)
    if slots == ("event", "data"):
        return lambda data, event: function(event, data)
    return lambda data, event: function()


def _is_a(kind: Callable[[Any], bool], function: Callable[..., Any]) -> bool:
    """Whether the function, or what an object runs when it is called, is of this kind."""
    function = _innermost(function)
    return kind(function) or kind(getattr(function, "__call__", None))  # noqa: B004


def _generating(plain: Callable[[Any, Event], Any]) -> Invoke:
    async def invoke(data: Any, event: Event) -> Any:
        return plain(data, event)

    return invoke


def _generating_in_thread(plain: Callable[[Any, Event], Any]) -> Invoke:
    async def invoke(data: Any, event: Event) -> Any:
        return from_thread(functools.partial(plain, data, event), _threads.submit)

    return invoke


def _in_thread(plain: Callable[[Any, Event], Any]) -> Invoke:
    async def invoke(data: Any, event: Event) -> Any:
        work = functools.partial(plain, data, event)
        result = await asyncio.get_running_loop().run_in_executor(_threads, copy_context().run, work)
        return await result if inspect.isawaitable(result) else result

    return invoke


def _converter(annotation: Any) -> Convert | None:
    if annotation in (Any, object, inspect.Parameter.empty):
        return None

    def convert(data: Any) -> Any:
        try:
            return msgspec.convert(data, annotation, dec_hook=_decode_other)
        except (msgspec.ValidationError, ValueError) as error:
            raise InvalidPayloadError(f"the payload does not fit the handler: {error}") from error

    return convert


def _decode_other(annotation: type[Any], value: Any) -> Any:
    """Types msgspec does not know: pydantic models, and values that already are of the type."""
    if hasattr(annotation, "model_validate"):
        return annotation.model_validate(value)
    if isinstance(value, annotation):
        return value
    raise msgspec.ValidationError(f"expected {annotation.__name__}, got {type(value).__name__}")


def _name(function: Any) -> str:
    return getattr(function, "__qualname__", repr(function))


def working() -> bool:
    """Whether a synchronous handler runs in this process, or waits for a thread."""
    return _threads.working
