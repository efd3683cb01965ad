"""What the tests of all fakes share: the control client, recorded traffic and its mutations."""

from __future__ import annotations

import copy
import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import requests

from ..running import Running
from ..wire import Delivery, Request, Response

TIMEOUT = 30


class Control:
    """The control endpoint of a running fake."""

    def __init__(self, running: Running) -> None:
        self._url = running.control

    def call(self, method: str, path: str, value: Any = None) -> Any:
        answer = requests.request(method, self._url + path, json=value, timeout=TIMEOUT)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def fault(self, kind: str, **fields: Any) -> None:
        self.call("POST", "/faults", [{"kind": kind, **fields}])

    def settings(self, **values: Any) -> None:
        self.call("POST", "/settings", values)

    def reset(self) -> None:
        self.call("DELETE", "/faults")
        self.call("DELETE", "/holds")
        self.call("DELETE", "/ledger")


class Recorder:
    """Keeps every request that reached a fake, with its credentials, for the mutation tests."""

    def __init__(self, running: Running) -> None:
        self.requests: list[tuple[Request, int]] = []
        self._front, self._answer = running.front, running.front.answer

    def __enter__(self) -> Recorder:
        def answer(request: Request) -> tuple[Response, Delivery]:
            response, delivery = self._answer(request)
            self.requests.append((request, response.status))
            return response, delivery

        self._front.answer = answer  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        self._front.answer = self._answer  # type: ignore[method-assign]


@dataclass
class Answer:
    """Status and body of an answer."""

    status_code: int
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode()

    def json(self) -> Any:
        return json.loads(self.content)


@dataclass
class Call:
    """A request that can be sent again, changed."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes

    @staticmethod
    def of(request: Request) -> Call:
        kept = {
            name: str(value)
            for name, value in request.headers.items()
            if name.lower() not in ("host", "content-length", "connection", "accept-encoding", "content-encoding")
        }
        return Call(request.method, request.path, list(request.query), kept, request.body)

    def send(self, url: str) -> Answer:
        """Sends exactly these headers: a client library's defaults would undo a dropped one."""
        target = urlsplit(url)
        connection = http.client.HTTPConnection(target.hostname or "", target.port, timeout=TIMEOUT)
        try:
            path = self.path + ("?" + urlencode(self.query) if self.query else "")
            connection.putrequest(self.method, path, skip_accept_encoding=True)
            for name, value in {**self.headers, "Content-Length": str(len(self.body))}.items():
                connection.putheader(name, value)
            connection.endheaders(self.body)
            response = connection.getresponse()
            return Answer(response.status, response.read())
        finally:
            connection.close()

    def without_header(self, name: str) -> Call:
        changed = copy.deepcopy(self)
        changed.headers = {key: value for key, value in self.headers.items() if key.lower() != name.lower()}
        return changed

    def with_header(self, name: str, value: str) -> Call:
        changed = self.without_header(name)
        changed.headers[name] = value
        return changed

    def with_json(self, value: Any) -> Call:
        changed = copy.deepcopy(self)
        changed.body = json.dumps(value).encode()
        return changed

    def with_query(self, query: list[tuple[str, str]]) -> Call:
        changed = copy.deepcopy(self)
        changed.query = query
        return changed


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every member of a JSON value with its path, objects and lists included."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in items:
        yield (*path, key), member
        yield from leaves(member, (*path, key))


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy of a JSON value with one member replaced."""
    changed = copy.deepcopy(value)
    parent = changed
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = new
    return changed


def dropped(value: Any, path: tuple[Any, ...]) -> Any:
    """A copy of a JSON value without one member."""
    changed = copy.deepcopy(value)
    parent = changed
    for key in path[:-1]:
        parent = parent[key]
    del parent[path[-1]]
    return changed


def wrong_types(value: Any) -> list[Any]:
    """Values of other JSON types than this one."""
    others: list[Any] = [[1], {"unexpected": 1}]
    if not isinstance(value, str):
        others.append("not a number")
    if isinstance(value, list):
        others.remove([1])
    return others
