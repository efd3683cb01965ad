"""Who asks: a personal access token, or a token of the workspace's OAuth endpoint for a service principal."""

from __future__ import annotations

import base64
import secrets
import time
from urllib.parse import parse_qsl

from ..wire import Request, Response
from .errors import ApiError, unauthenticated

LIFETIME = 3600


class Authenticator:
    """One person with a token and one service principal with a secret."""

    def __init__(self) -> None:
        self.personal_token = "dapi" + secrets.token_hex(16)
        self.client_id = "5d5f9a80-0000-4000-8000-" + secrets.token_hex(6)
        self.client_secret = "dose" + secrets.token_hex(16)
        self._tokens: dict[str, float] = {}
        self._personal_revoked = False

    def revoke(self) -> None:
        """All tokens that were given until now count no longer."""
        self._tokens.clear()
        self._personal_revoked = True

    def owner(self, request: Request) -> str:
        """Whose request it is."""
        scheme, _, token = (request.header("authorization") or "").partition(" ")
        if scheme != "Bearer" or not token:
            raise unauthenticated()
        if secrets.compare_digest(token, self.personal_token) and not self._personal_revoked:
            return "person@example.com"
        if self._tokens.get(token, 0) > time.time():
            return self.client_id
        if token.startswith("dapi"):
            raise ApiError(403, "403", "Invalid access token.")
        raise ApiError(401, "401", "Invalid Token")

    def endpoints(self, request: Request) -> Response:
        """OAuth authorization server metadata of the workspace."""
        base = f"{request.base_url}/oidc/v1"
        return Response.json(
            200,
            {
                "issuer": f"{request.base_url}/oidc",
                "authorization_endpoint": f"{base}/authorize",
                "token_endpoint": f"{base}/token",
                "grant_types_supported": ["client_credentials"],
            },
        )

    def token(self, request: Request) -> Response:
        """Client credentials grant (page "Authorize service principal access with OAuth")."""
        form = dict(parse_qsl(request.body.decode("utf-8", "replace")))
        kind = (request.header("content-type") or "").split(";")[0]
        if kind != "application/x-www-form-urlencoded":
            return _refused(400, "invalid_request", "Content-Type must be application/x-www-form-urlencoded")
        if form.get("grant_type") != "client_credentials":
            return _refused(400, "unsupported_grant_type", "The grant type is not supported")
        given = _basic(request.header("authorization")) or (form.get("client_id", ""), form.get("client_secret", ""))
        if given != (self.client_id, self.client_secret):
            return _refused(401, "invalid_client", "Client authentication failed")
        if "all-apis" not in form.get("scope", "").split():
            return _refused(400, "invalid_scope", "The scope must be all-apis")
        token = "eyJ" + secrets.token_urlsafe(60)
        self._tokens[token] = time.time() + LIFETIME
        found = {"access_token": token, "scope": "all-apis", "token_type": "Bearer", "expires_in": LIFETIME}
        return Response.json(200, found)


def _basic(header: str | None) -> tuple[str, str] | None:
    scheme, _, value = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
    except ValueError:
        return None
    return name, secret


def _refused(status: int, error: str, text: str) -> Response:
    return Response.json(status, {"error": error, "error_description": text})
