"""How good sources are, over HTTP: points and counts for administrators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from healthsync.errors import InvalidInput

from . import answers
from .requests import requester_of
from .router import Router


class QualityRoutes:
    """The handler of /api/v1/healthsync/quality. `hub` is a `bootstrap.Hub`."""

    def __init__(self, hub: Any) -> None:
        self._hub = hub

    def register(self, router: Router) -> None:
        """Put the handler under its surface."""
        router.add("healthsync.quality", self.report)

    async def report(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET quality?source&since&until: by source points, trend, worst rules and days."""
        requester = await requester_of(self._hub, request)
        await self._hub.operators.require(requester, "quality-report", "Quality")
        found = await self._hub.report_quality(
            source=request.query_params.get("source"),
            since=day_of(request, "since"),
            until=day_of(request, "until"),
        )
        return answers.plain({"sources": [_document(asdict(each)) for each in found]})


def day_of(request: Request, name: str) -> date | None:
    """A day that a parameter names. Raises InvalidInput."""
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"{name} is a day: YYYY-MM-DD", code="value") from None


def _document(report: dict[str, Any]) -> dict[str, Any]:
    days = [{**day, "day": str(day["day"])} for day in report["days"]]
    return {**report, "days": days}
