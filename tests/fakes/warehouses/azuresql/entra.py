"""Where tokens are made: Microsoft Entra's token endpoint for one application."""

from __future__ import annotations

import secrets
import threading
from urllib.parse import parse_qs

from ..wire import Delivery, Request, Response

TENANT, CLIENT = "8d9c1a53-0000-4000-8000-00000000aaaa", "8d9c1a53-0000-4000-8000-00000000bbbb"
SCOPE = "https://database.windows.net/.default"
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_FIELDS = {"grant_type", "client_id", "scope"}


class Tokens:
    """The tokens of the application; an HTTP service."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._valid: set[str] = set()
        self.secret = secrets.token_urlsafe(24)
        self.pod_token = "eyJhbGci." + secrets.token_urlsafe(24)

    def holds(self, token: str) -> bool:
        """Whether it was made here, and holds."""
        with self._lock:
            return token in self._valid

    def revoke(self) -> None:
        """No token holds any more."""
        with self._lock:
            self._valid.clear()

    def answer(self, request: Request) -> tuple[Response, Delivery]:
        """A token for who proves that he is the application."""
        return self._answer(request), Delivery()

    def _answer(self, request: Request) -> Response:
        tenant, _, path = request.path.strip("/").partition("/")
        if request.method != "POST" or path != "oauth2/v2.0/token":
            return Response(404)
        if (request.header("content-type") or "") != "application/x-www-form-urlencoded":
            return _refused(900144, "The request body must be a form.")
        form = {name: values[0] for name, values in parse_qs(request.body.decode(), keep_blank_values=True).items()}
        if tenant != TENANT:
            return _refused(90002, f"Tenant '{tenant}' not found.")
        if form.get("client_id") != CLIENT:
            return _refused(700016, "Application was not found in the directory.", "unauthorized_client")
        if form.get("grant_type") != "client_credentials" or form.get("scope") != SCOPE:
            return _refused(70011, "The provided value for scope is not valid.", "invalid_scope")
        proof = form.keys() - _FIELDS
        if proof == {"client_secret"}:
            if not secrets.compare_digest(form["client_secret"], self.secret):
                return _refused(7000215, "Invalid client secret provided.", "invalid_client", 401)
        elif proof == {"client_assertion_type", "client_assertion"}:
            if form["client_assertion_type"] != _ASSERTION or form["client_assertion"] != self.pod_token:
                return _refused(700213, "No matching federated identity record found.", "invalid_client", 401)
        else:
            return _refused(7000218, "The request body must contain a proof.", "invalid_client", 401)
        token = "eyJ0eXAi." + secrets.token_urlsafe(900)
        with self._lock:
            self._valid.add(token)
        return Response.json(200, {"token_type": "Bearer", "expires_in": 3599, "access_token": token})


def _refused(number: int, text: str, error: str = "invalid_request", status: int = 400) -> Response:
    body = {"error": error, "error_description": f"AADSTS{number}: {text}", "error_codes": [number]}
    return Response.json(status, body)
