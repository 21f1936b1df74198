"""Parameters of operations (operations.html#request): from a URL or a Parameters resource, and back as an answer."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from healthsync.errors import InvalidInput, NotSupported

Json = Mapping[str, Any]

LONGEST = 4096
"""Characters of a parameter that is a text."""


class Parameters:
    """What an operation was asked with. A parameter may stand several times; its values keep their order."""

    def __init__(self, values: Mapping[str, Sequence[Any]]) -> None:
        self._values = values

    @classmethod
    def of_query(cls, pairs: Iterable[tuple[str, str]]) -> Parameters:
        """From the pairs of a URL, without those that are about the answer's format."""
        return cls(_gathered((name, value) for name, value in pairs if name not in ("_format", "_pretty")))

    @classmethod
    def of_resource(cls, resource: Json) -> Parameters:
        """From a Parameters resource. Raises InvalidInput for anything else."""
        entries = resource.get("parameter", [])
        if resource.get("resourceType") != "Parameters" or not isinstance(entries, list):
            raise InvalidInput("an operation is asked with a Parameters resource", code="structure")
        if not all(isinstance(entry, dict) and isinstance(entry.get("name"), str) for entry in entries):
            raise InvalidInput("each parameter has a name", code="structure", expression="Parameters.parameter")
        return cls(_gathered((entry["name"], _value(entry)) for entry in entries))

    def only(self, served: Collection[str]) -> Parameters:
        """Itself, if no other parameter was given. Raises NotSupported naming those that are served."""
        if not self._values.keys() <= set(served):
            raise NotSupported(f"this operation takes the parameters {', '.join(sorted(served))} here and no others")
        return self

    def without(self, name: str) -> Parameters:
        """Itself without one of them."""
        return Parameters({each: values for each, values in self._values.items() if each != name})

    def overlaid(self, other: Parameters) -> Parameters:
        """Itself, with the parameters of another in the place of its own."""
        return Parameters({**self._values, **other._values})

    def all(self, name: str) -> list[Any]:
        """Every value of a parameter."""
        return list(self._values.get(name, ()))

    def pairs(self) -> list[tuple[str, str]]:
        """Those with a plain value, as a URL would say them."""
        return [
            (name, str(value))
            for name, values in self._values.items()
            for value in values
            if isinstance(value, str | int)
        ]

    def text(self, name: str) -> str | None:
        """The text of a parameter. Raises InvalidInput when it is given twice, is no text or is longer than LONGEST."""
        value = self._one(name)
        if value is not None and (not isinstance(value, str) or "\0" in value or len(value) > LONGEST):
            raise InvalidInput(f"the parameter {name} is a text of {LONGEST} characters at most", code="value")
        return value

    def flag(self, name: str, default: bool) -> bool:
        """A boolean. Raises InvalidInput for anything but true and false."""
        value = self._one(name)
        if value is None:
            return default
        if value in (True, "true"):
            return True
        if value in (False, "false"):
            return False
        raise InvalidInput(f"the parameter {name} is true or false", code="value")

    def number(self, name: str) -> int | None:
        """A whole number from 0 to 999,999,999. Raises InvalidInput for anything else."""
        value = self._one(name)
        if value is None:
            return None
        digits = str(value)
        if isinstance(value, bool) or not (digits.isascii() and digits.isdecimal() and len(digits) < 10):
            raise InvalidInput(f"the parameter {name} is a whole number, 0 or more", code="value")
        return int(digits)

    def object(self, name: str) -> Json | None:
        """A resource or a value of a complex type. Raises InvalidInput for a plain value."""
        value = self._one(name)
        if value is not None and not isinstance(value, Mapping):
            raise InvalidInput(f"the parameter {name} is sent in the body of a POST", code="value")
        return value

    def _one(self, name: str) -> Any:
        values = self._values.get(name, ())
        if len(values) > 1:
            raise InvalidInput(f"the parameter {name} is given once at most", code="value")
        return values[0] if values else None


def answer(entries: Iterable[tuple[str, str, Any]]) -> dict[str, Any]:
    """A Parameters resource of (name, `value[x]` or `part`, value); those whose value is None are left out."""
    return {"resourceType": "Parameters", "parameter": parts(entries)}


def parts(entries: Iterable[tuple[str, str, Any]]) -> list[dict[str, Any]]:
    """Parameters, or the parts of one."""
    return [{"name": name, key: value} for name, key, value in entries if value is not None]


def _gathered(pairs: Iterable[tuple[str, Any]]) -> dict[str, list[Any]]:
    values: dict[str, list[Any]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return values


def _value(entry: Json) -> Any:
    if "resource" in entry:
        return entry["resource"]
    if "part" in entry:
        return Parameters.of_resource({"resourceType": "Parameters", "parameter": entry["part"]})
    return next((value for key, value in entry.items() if key.startswith("value")), None)
