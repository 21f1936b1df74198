"""Routes from the register of surfaces. Plain ASGI, because FHIR reads are too many for a framework's layers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from healthsync.exchange.surfaces import Surface, surface

Handler = Callable[[Request, Mapping[str, str]], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """A surface and what answers it."""

    surface: Surface
    segments: tuple[str, ...]
    handler: Handler


_Candidates = dict[tuple[str, ...], dict[str, Route]]
"""Patterns in the order in which they are tried, and the route of each method."""


class Router:
    """Finds the route of a path: literal segments before placeholders, in the order of registration."""

    def __init__(self) -> None:
        self.routes: list[Route] = []
        self._by_length: dict[int, list[Route]] = {}
        self._aliases: list[tuple[str, str]] = []
        self._candidates: dict[tuple[int, str, str], _Candidates] = {}

    def add(self, surface_name: str, handler: Handler) -> None:
        """Serve a registered surface. Raises KeyError when nobody registered it."""
        entry = surface(surface_name)
        route = Route(entry, tuple(entry.path.strip("/").split("/")), handler)
        self.routes.append(route)
        same_length = self._by_length.setdefault(len(route.segments), [])
        same_length.append(route)
        same_length.sort(key=lambda r: sum(segment.startswith("{") for segment in r.segments))
        self._candidates.clear()

    def alias(self, prefix: str, stands_for: str) -> None:
        """Serve what lies under `stands_for` under another prefix too (settlement 2: /api/fhir).

        An address of its own outranks an alias, and a longer prefix a shorter one: with `/api` for `/fhir`,
        `/api/v1/healthsync` stays what it is.
        """
        self._aliases.append((prefix.rstrip("/") + "/", stands_for.rstrip("/") + "/"))
        self._aliases.sort(key=lambda alias: -len(alias[0]))

    def find(self, method: str, path: str) -> tuple[Route | None, dict[str, str], set[str]]:
        """The route, its placeholders, and the methods that the path allows when this one is none of them."""
        for reading in self._readings(path):
            route, names, allowed = self._find(method, reading)
            if route is not None or allowed:
                return route, names, allowed
        return None, {}, set()

    def _readings(self, path: str) -> list[str]:
        """The paths that one may mean, the likeliest first."""
        for prefix, stands_for in self._aliases:
            if path.startswith(prefix) or path + "/" == prefix:
                aliased = stands_for + path[len(prefix) :]
                # Under /fhir/r4 itself the address of its own would read r4 as a resource type.
                return [aliased, path] if prefix.startswith(stands_for) else [path, aliased]
        return [path]

    def _find(self, method: str, path: str) -> tuple[Route | None, dict[str, str], set[str]]:
        segments = path.strip("/").split("/")
        allowed: set[str] = set()
        is_literal = False
        for pattern, routes in self._likely(segments).items():
            names = _match(pattern, segments)
            if names is None:
                continue
            if names and is_literal:  # PUT /fhir/metadata: an address of its own that does not take PUT, and no type
                break
            is_literal = not names
            route = routes.get("GET" if method == "HEAD" else method)
            if route is not None:
                return route, names, allowed
            allowed.update(routes)
        return None, {}, allowed

    def _likely(self, segments: list[str]) -> _Candidates:
        """The routes that differ from a path neither in its first segment nor in a last one that begins with `$`, `_`:
        few of many, and the same for all resources."""
        last = segments[-1] if segments[-1].startswith(("$", "_")) else ""
        place = (len(segments), segments[0], last)
        found = self._candidates.get(place)
        if found is None:
            found = {}
            for route in self._by_length.get(len(segments), ()):
                is_first = route.segments[0] in (segments[0], last) or route.segments[0].startswith("{")
                ends = route.segments[-1] == last if last else not route.segments[-1].startswith(("$", "_"))
                if is_first and ends:
                    found.setdefault(route.segments, {}).setdefault(route.surface.method, route)
            if len(self._candidates) < _MOST_CANDIDATES:
                self._candidates[place] = found
        return found


_MOST_CANDIDATES = 1_000
"""Kinds of paths remembered; what strangers make up beyond that is looked up each time."""


def _match(pattern: tuple[str, ...], segments: list[str]) -> dict[str, str] | None:
    names: dict[str, str] = {}
    for expected, segment in zip(pattern, segments, strict=True):
        if expected.startswith("{"):
            if segment.startswith(("$", "_")) or not segment:
                return None
            names[expected[1:-1]] = segment
        elif expected != segment:
            return None
    return names


Scope = dict[str, Any]
