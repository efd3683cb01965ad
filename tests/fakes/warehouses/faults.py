"""Misbehaviour on demand: which request gets which fault, and what the fault does."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from typing import Any

from .wire import Delivery, Request

# What a fault may be, and the fields that it takes beside the matching ones.
KINDS: dict[str, set[str]] = {
    "throttle": {"retryAfter"},  # 429 in the service's form, not executed
    "unavailable": {"status"},  # 500, 502, 503 or 504 in the service's form, not executed
    "unauthorized": set(),  # the service's answer to an expired token, not executed
    "html": {"status"},  # an error page of some gateway, not executed
    "refuse": set(),  # connection reset before anything was executed
    "reset": {"afterBytes"},  # executed, then reset after N bytes of the body (0: no answer at all)
    "truncate": {"afterBytes"},  # executed, then closed after N bytes of the body
    "slow": {"bytesPerSecond"},  # executed, the body drips
    "error": {"number"},  # an error of this number, not executed; of services that number their errors
}
MATCH = {"kind", "method", "path", "body", "skip", "times"}
STATUSES = {500, 502, 503, 504}
PAGE = (
    "<!DOCTYPE html><html><head><title>{status}</title></head>"
    "<body><h1>{status}</h1><p>The request could not be satisfied.</p></body></html>"
)


@dataclass
class Fault:
    """One armed fault: it lets `skip` matching requests pass and then strikes `times` (None: always)."""

    kind: str
    method: re.Pattern[str]
    path: re.Pattern[str]
    body: re.Pattern[str]
    skip: int
    times: int | None
    fields: dict[str, Any]
    struck: int = 0

    @staticmethod
    def parse(spec: Any) -> Fault:
        """Reads a fault from the control endpoint; a wrong one is refused with what is wrong."""
        if not isinstance(spec, dict) or spec.get("kind") not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}")
        kind = spec["kind"]
        unknown = spec.keys() - MATCH - KINDS[kind]
        if unknown:
            raise ValueError(f"{kind} does not take {', '.join(sorted(unknown))}")
        for name in ("skip", "times", "afterBytes", "bytesPerSecond", "retryAfter"):
            value = spec.get(name, 0)
            if name == "times" and value is None:
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise ValueError(f"{name} must be a whole number")
        if kind == "unavailable" and spec.get("status", 503) not in STATUSES:
            raise ValueError("status must be 500, 502, 503 or 504")
        if kind == "error" and not isinstance(spec.get("number"), int):
            raise ValueError("error needs number")
        if kind == "slow" and not spec.get("bytesPerSecond"):
            raise ValueError("slow needs bytesPerSecond")
        return Fault(
            kind=kind,
            method=re.compile(spec.get("method", "")),
            path=re.compile(spec.get("path", "")),
            body=re.compile(spec.get("body", ""), re.DOTALL),
            skip=spec.get("skip", 0),
            times=spec.get("times", 1),
            fields={name: spec[name] for name in KINDS[kind] if name in spec},
        )

    def matches(self, request: Request) -> bool:
        """Whether the fault is meant for this request."""
        return bool(
            self.method.search(request.method)
            and self.path.search(request.path)
            and self.body.search(request.body.decode("utf-8", "replace"))
        )

    def delivery(self) -> Delivery:
        """How the answer travels under this fault."""
        after = self.fields.get("afterBytes", 0)
        if self.kind == "reset" or self.kind == "refuse":
            return Delivery(reset_after=after)
        if self.kind == "truncate":
            return Delivery(close_after=after)
        return Delivery(bytes_per_second=self.fields.get("bytesPerSecond"))

    def describe(self) -> dict[str, Any]:
        """For the control endpoint."""
        return {"kind": self.kind, **self.fields, "skip": self.skip, "times": self.times, "struck": self.struck}


class FaultPlan:
    """The armed faults, in the order in which they were given."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def arm(self, faults: list[Fault]) -> None:
        """Adds faults behind those that wait."""
        with self._lock:
            self._faults.extend(faults)

    def clear(self) -> None:
        """Disarms all."""
        with self._lock:
            self._faults.clear()

    def describe(self) -> list[dict[str, Any]]:
        """All faults with how often they struck."""
        with self._lock:
            return [fault.describe() for fault in self._faults]

    def take(self, request: Request) -> Fault | None:
        """The fault that strikes this request, if any."""
        with self._lock:
            for fault in self._faults:
                if (fault.times is not None and fault.struck >= fault.times) or not fault.matches(request):
                    continue
                if fault.skip > 0:
                    fault.skip -= 1
                    return None
                fault.struck += 1
                return fault
        return None
