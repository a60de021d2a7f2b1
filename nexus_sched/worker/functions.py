"""A registered function: its name, its settings, and how a payload becomes its arguments.

Arguments that do not fit are the submitter's mistake and end the task as REJECTED before the function
is entered; what the function raises is FAILED. Annotations are resolved once, when the worker starts.
"""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from nexus_sched.errors import InvalidInput
from nexus_sched.model.payload import Arguments
from nexus_sched.model.task import Retry

RunIn = Literal["loop", "thread", "process"]

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_convert = msgspec.convert


class TaskFunction:
    """A function under its task type, with what its author asked for. `resolve` it before `bind`."""

    __slots__ = (
        "_checked",
        "_required",
        "_signature",
        "_types",
        "_types_by_name",
        "_untyped",
        "call",
        "max_attempts",
        "name",
        "retry",
        "run_in",
        "timeout_ms",
    )

    def __init__(
        self,
        name: str,
        call: Callable[..., Any],
        run_in: RunIn,
        timeout_ms: float | None = None,
        retry: Retry | None = None,
        max_attempts: int | None = None,
    ) -> None:
        self.name = name
        self.call = call
        self.run_in: RunIn = run_in
        self.timeout_ms = timeout_ms
        self.retry = retry
        self.max_attempts = max_attempts
        self._signature = inspect.signature(call)
        self._types: list[Any] = []
        self._types_by_name: dict[str, Any] = {}
        self._required = 0
        self._untyped = False
        self._checked = False

    def resolve(self) -> None:
        """Look up all annotations; raises `InvalidInput` for one that is unknown or cannot be converted to."""
        try:
            hints = typing.get_type_hints(self.call, include_extras=True)
        except Exception as error:  # evaluating an annotation runs whatever it says
            raise InvalidInput(f"task {self.name}: its annotations cannot be resolved: {error}") from error
        parameters = self._signature.parameters.values()
        for parameter in parameters:
            kind = hints.get(parameter.name, Any)
            try:
                msgspec.msgpack.Decoder(kind)
            except TypeError as error:
                raise InvalidInput(f"task {self.name}: argument {parameter.name} cannot be read: {error}") from error
            self._types_by_name[parameter.name] = kind
        positional = [parameter for parameter in parameters if parameter.kind in _POSITIONAL]
        self._types = [self._types_by_name[parameter.name] for parameter in positional]
        self._untyped = all(kind is Any for kind in self._types)
        keyword_only = [p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY and p.default is p.empty]
        # A required keyword-only argument can never come by position: leave such calls to the signature.
        needed = sum(parameter.default is parameter.empty for parameter in positional)
        self._required = sys.maxsize if keyword_only else needed
        self._checked = True

    def bind(self, arguments: Arguments) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """`arguments` converted to the annotated types; raises `InvalidInput` if they do not fit."""
        assert self._checked, "resolve() comes first"
        positional, keyword = arguments
        if not keyword and self._required <= len(positional) <= len(self._types):
            if not positional or self._untyped:
                return positional, keyword
            return self._convert_all(positional, keyword)
        try:
            bound = self._signature.bind(*positional, **keyword)
        except TypeError as error:
            raise InvalidInput(f"{self.name}: {error}") from error
        if self._has_variadic():
            return self._convert_all(positional, keyword)
        return self._convert_all(bound.args, bound.kwargs)

    def _has_variadic(self) -> bool:
        return any(parameter.kind in _VARIADIC for parameter in self._signature.parameters.values())

    def _convert_all(
        self, positional: Sequence[Any], keyword: Mapping[str, Any]
    ) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """Convert what has a type; what goes into `*args` or `**kwargs` has its parameter's annotation."""
        at: object = 0
        try:
            converted = []
            for at, value in enumerate(positional):
                kind = self._types[at] if at < len(self._types) else self._variadic_type(_VARIADIC[0])
                converted.append(value if kind is Any else _convert(value, kind))
            named = {}
            for at, value in keyword.items():
                kind = self._types_by_name.get(at) or self._variadic_type(_VARIADIC[1])
                named[at] = value if kind is Any else _convert(value, kind)
        except (msgspec.ValidationError, TypeError, ValueError, RecursionError) as error:
            raise InvalidInput(f"{self.name}: argument {self._label(at)}: {error}") from error
        return converted, named

    def _variadic_type(self, kind: object) -> Any:
        for parameter in self._signature.parameters.values():
            if parameter.kind is kind:
                return self._types_by_name[parameter.name]
        return Any

    def _label(self, at: object) -> str:
        if isinstance(at, int) and at < len(self._types):
            return list(self._signature.parameters)[at]
        return str(at)
