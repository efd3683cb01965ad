"""What all fakes share: the order of fault, service and ledger, and the control endpoint."""

from __future__ import annotations

import json
import traceback
from typing import Any, Protocol

from .faults import PAGE, Fault, FaultPlan
from .ledger import Ledger
from .statements import StatementBoard
from .wire import Delivery, Request, Response


class Warehouse(Protocol):
    """One fake service: its protocol, and its answers when it has trouble."""

    board: StatementBoard

    def handle(self, request: Request) -> Response:
        """Answers a request as the service does."""

    def throttled(self, retry_after: int | None) -> Response:
        """Too many requests, in the service's form."""

    def unauthorized(self) -> Response:
        """An expired token, in the service's form."""

    def unavailable(self, status: int) -> Response:
        """A server error, in the service's form."""

    def seed(self, sql: str) -> None:
        """Runs statements in the service's dialect with all rights."""

    def tables(self) -> list[str]:
        """Every table, by full name."""

    def expire(self, what: str) -> None:
        """Expires results, tokens or links; ValueError when the service has no such thing."""

    def configure(self, settings: dict[str, Any]) -> None:
        """Changes settings; ValueError for an unknown one."""

    def connection(self, url: str) -> dict[str, Any]:
        """Names and credentials that a client needs."""

    def state(self) -> dict[str, Any]:
        """What else a test may want to know."""


class Front:
    """The public side: fault, service, ledger."""

    def __init__(self, warehouse: Warehouse) -> None:
        self.warehouse = warehouse
        self.faults = FaultPlan()
        self.ledger = Ledger()

    def answer(self, request: Request) -> tuple[Response, Delivery]:
        """Answers a request, under the fault that is armed for it."""
        fault = self.faults.take(request)
        response = self._refusal(fault) if fault else None
        if response is None:
            try:
                response = self.warehouse.handle(request)
            except Exception:
                # A mistake of the fake, not of the client: visible on both sides.
                traceback.print_exc()
                response = Response.json(500, {"fake": "internal error, see its standard error"})
        self.ledger.record(request, response, fault.kind if fault else None)
        return response, fault.delivery() if fault else Delivery()

    def _refusal(self, fault: Fault) -> Response | None:
        """The answer of a fault that keeps the request from the service."""
        if fault.kind == "throttle":
            return self.warehouse.throttled(fault.fields.get("retryAfter"))
        if fault.kind == "unauthorized":
            return self.warehouse.unauthorized()
        if fault.kind == "unavailable":
            return self.warehouse.unavailable(fault.fields.get("status", 503))
        if fault.kind == "html":
            status = fault.fields.get("status", 502)
            return Response(status, {"Content-Type": "text/html"}, PAGE.format(status=status).encode())
        if fault.kind == "refuse":
            return Response(503)
        return None


class Control:
    """The test's side, on a port of its own. Every answer is JSON; a wrong request is 400 with the reason."""

    def __init__(self, front: Front) -> None:
        self._front = front

    def answer(self, request: Request) -> tuple[Response, Delivery]:
        """Answers a request of the test."""
        try:
            value = json.loads(request.body) if request.body else None
            return Response.json(200, self._route(request.method, request.path, value)), Delivery()
        except LookupError:
            return Response.json(404, {"error": f"no control {request.method} {request.path}"}), Delivery()
        except (ValueError, TypeError, AttributeError) as wrong:
            return Response.json(400, {"error": str(wrong)}), Delivery()

    def _route(self, method: str, path: str, value: Any) -> Any:
        front, warehouse = self._front, self._front.warehouse
        match method, path:
            case "GET", "/ledger":
                return front.ledger.entries()
            case "DELETE", "/ledger":
                return front.ledger.clear()
            case "GET", "/faults":
                return front.faults.describe()
            case "POST", "/faults":
                return front.faults.arm([Fault.parse(spec) for spec in value])
            case "DELETE", "/faults":
                return front.faults.clear()
            case "GET", "/statements":
                return warehouse.board.describe()
            case "POST", "/holds":
                return warehouse.board.hold(str(value["statement"]), value.get("polls"))
            case "DELETE", "/holds":
                return warehouse.board.release()
            case "GET", "/tables":
                return warehouse.tables()
            case "GET", "/state":
                return warehouse.state()
            case "POST", "/expire":
                return warehouse.expire(str(value["what"]))
            case "POST", "/settings":
                return warehouse.configure(dict(value))
            case "POST", "/sql":
                return warehouse.seed(str(value["statements"]))
        raise LookupError
