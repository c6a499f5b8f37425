"""CloudFormation's intrinsic functions, evaluated without CloudFormation.

A value that only a deployment has (the address of a database, an API's id) becomes UNKNOWN, and so does every value
that contains it. The reader of the template decides what to do with UNKNOWN.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class _Marker:
    """A value that is none of JSON's."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


UNKNOWN: Final = _Marker("UNKNOWN")
NO_VALUE: Final = _Marker("NO_VALUE")

_SUB_VARIABLE = re.compile(r"\$\{(!?)([^}]+)\}")


class Intrinsics:
    """Evaluates values of one template."""

    def __init__(
        self,
        *,
        references: Mapping[str, Any],
        attributes: Mapping[str, Any],
        conditions: Mapping[str, Any],
        mappings: Mapping[str, Any],
    ) -> None:
        """Take the values that others may refer to.

        `references` contains the values of Ref: parameters, pseudo parameters and known resources. `attributes`
        contains the values of GetAtt by `Resource.Attribute`. Without an entry, both are UNKNOWN.
        """
        self._references = references
        self._attributes = attributes
        self._conditions = conditions
        self._mappings = mappings
        self._evaluated: dict[str, bool] = {}
        self._functions: dict[str, Callable[[Any], Any]] = {
            "Ref": self._ref,
            "Condition": self.condition,
            "Fn::GetAtt": self._get_att,
            "Fn::Sub": self._sub,
            "Fn::If": self._if,
            "Fn::Join": self._join,
            "Fn::Select": self._select,
            "Fn::Split": self._split,
            "Fn::FindInMap": self._find_in_map,
            "Fn::Base64": self._base64,
            "Fn::Equals": self._equals,
            "Fn::Contains": lambda values: self.resolve(values[1]) in self.resolve(values[0]),
            "Fn::And": lambda values: all(map(self._truth, values)),
            "Fn::Or": lambda values: any(map(self._truth, values)),
            "Fn::Not": lambda values: not self._truth(values[0]),
        }

    def resolve(self, value: Any) -> Any:
        """Return `value` with every intrinsic function evaluated, and without members that are AWS::NoValue."""
        if isinstance(value, dict):
            if len(value) == 1:
                name, argument = next(iter(value.items()))
                if name in self._functions:
                    return self._functions[name](argument)
                if isinstance(name, str) and name.startswith("Fn::"):
                    return UNKNOWN
            members = {key: self.resolve(member) for key, member in value.items()}
            return {key: member for key, member in members.items() if member is not NO_VALUE}
        if isinstance(value, list):
            return [member for member in map(self.resolve, value) if member is not NO_VALUE]
        return value

    def choose(self, value: Any) -> Any:
        """Return the branch that `Fn::If` chooses, unresolved. Return any other `value` unchanged."""
        while isinstance(value, dict) and "Fn::If" in value:
            name, then, otherwise = value["Fn::If"]
            value = then if self.condition(name) else otherwise
        return value

    def condition(self, name: str) -> bool:
        """Return whether the named condition of the template holds. One that depends on UNKNOWN does not hold."""
        if name not in self._evaluated:
            self._evaluated[name] = self._truth(self._conditions[name])
        return self._evaluated[name]

    def _truth(self, value: Any) -> bool:
        return self.resolve(value) is True

    def _ref(self, name: str) -> Any:
        return NO_VALUE if name == "AWS::NoValue" else self._references.get(name, UNKNOWN)

    def _get_att(self, argument: str | list[Any]) -> Any:
        path = argument if isinstance(argument, str) else ".".join(map(str, argument))
        return self._attributes.get(path, UNKNOWN)

    def _sub(self, argument: str | list[Any]) -> Any:
        text, variables = (argument, {}) if isinstance(argument, str) else argument
        unknown = False

        def replace(match: re.Match[str]) -> str:
            nonlocal unknown
            literal, name = match.groups()
            if literal:
                return f"${{{name}}}"
            if name in variables:
                value = self.resolve(variables[name])
            else:
                value = self._get_att(name) if "." in name else self._ref(name)
            unknown = unknown or value is UNKNOWN
            return as_text(value)

        result = _SUB_VARIABLE.sub(replace, text)
        return UNKNOWN if unknown else result

    def _if(self, argument: list[Any]) -> Any:
        name, then, otherwise = argument
        return self.resolve(then if self.condition(name) else otherwise)

    def _join(self, argument: list[Any]) -> Any:
        separator, values = argument
        parts = self.resolve(values)
        if parts is UNKNOWN or UNKNOWN in parts:
            return UNKNOWN
        return separator.join(map(as_text, parts))

    def _select(self, argument: list[Any]) -> Any:
        index, values = self.resolve(argument[0]), self.resolve(argument[1])
        return UNKNOWN if values is UNKNOWN or index is UNKNOWN else values[int(index)]

    def _split(self, argument: list[Any]) -> Any:
        separator, text = argument[0], self.resolve(argument[1])
        return UNKNOWN if text is UNKNOWN else text.split(separator)

    def _find_in_map(self, argument: list[Any]) -> Any:
        name, top, second = (self.resolve(part) for part in argument[:3])
        if UNKNOWN in (name, top, second):
            return UNKNOWN
        try:
            return self._mappings[name][top][second]
        except KeyError:
            default = argument[3].get("DefaultValue", UNKNOWN) if len(argument) > 3 else UNKNOWN
            return self.resolve(default)

    def _base64(self, argument: Any) -> Any:
        text = self.resolve(argument)
        return UNKNOWN if text is UNKNOWN else base64.b64encode(as_text(text).encode()).decode()

    def _equals(self, argument: list[Any]) -> Any:
        left, right = (self.resolve(part) for part in argument)
        return UNKNOWN if UNKNOWN in (left, right) else as_text(left) == as_text(right)


def as_text(value: Any) -> str:
    """Return a value as CloudFormation writes it into a string: `true`, `30`, a list joined by commas."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(map(as_text, value))
    return str(value)
