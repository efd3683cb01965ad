"""Who asks: a personal access token, or a token of the workspace's OAuth endpoint, or Entra's, for a service principal."""

from __future__ import annotations

import base64
import secrets
import time
from urllib.parse import parse_qsl

from ..wire import Request, Response
from .errors import ApiError, unauthenticated

LIFETIME = 3600
# The application that stands for Azure Databricks in every tenant.
AZURE_DATABRICKS = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d"


class Authenticator:
    """One person with a token and one service principal with a secret."""

    def __init__(self) -> None:
        self.personal_token = "dapi" + secrets.token_hex(16)
        self.client_id = "5d5f9a80-0000-4000-8000-" + secrets.token_hex(6)
        self.client_secret = "dose" + secrets.token_hex(16)
        self.tenant = "contoso.onmicrosoft.com"
        self.entra_secret = "8Q~" + secrets.token_urlsafe(30)
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
        return self._given("all-apis")

    def entra_token(self, request: Request, tenant: str) -> Response:
        """Client credentials grant of Microsoft Entra (page "Get Microsoft Entra ID tokens for service principals")."""
        form = dict(parse_qsl(request.body.decode("utf-8", "replace")))
        kind = (request.header("content-type") or "").split(";")[0]
        if kind != "application/x-www-form-urlencoded" or form.get("grant_type") != "client_credentials":
            return _refused(400, "invalid_request", "AADSTS900144: The request body must contain 'grant_type'.")
        if tenant != self.tenant:
            return _refused(400, "invalid_request", f"AADSTS90002: Tenant '{tenant}' not found.")
        if form.get("client_id") != self.client_id:
            text = f"AADSTS700016: Application with identifier '{form.get('client_id')}' was not found in the directory."
            return _refused(400, "unauthorized_client", text)
        if form.get("client_secret") != self.entra_secret:
            return _refused(401, "invalid_client", "AADSTS7000215: Invalid client secret provided.")
        if form.get("scope") != f"{AZURE_DATABRICKS}/.default":
            return _refused(400, "invalid_scope", "AADSTS70011: The provided value for the scope is not valid.")
        return self._given(form["scope"])

    def _given(self, scope: str) -> Response:
        token = "eyJ" + secrets.token_urlsafe(60)
        self._tokens[token] = time.time() + LIFETIME
        found = {"access_token": token, "scope": scope, "token_type": "Bearer", "expires_in": LIFETIME}
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
