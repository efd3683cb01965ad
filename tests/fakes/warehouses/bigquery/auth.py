"""Who asks: tokens of the service account's token endpoint, of the metadata server, or a self-signed JWT."""

from __future__ import annotations

import datetime as dt
import secrets
import time
from typing import Any
from urllib.parse import parse_qsl

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from ..wire import Request, Response
from . import requests
from .errors import BigQueryError, unauthorized

SCOPES = {"https://www.googleapis.com/auth/bigquery", "https://www.googleapis.com/auth/cloud-platform"}
AUDIENCE = "https://bigquery.googleapis.com/"
IAM_AUDIENCE = "https://iamcredentials.googleapis.com/"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LIFETIME = 3600
CLOCK_SKEW = 60
METADATA = "/computeMetadata/v1/instance/service-accounts/"


class Authenticator:
    """The one service account of the project and the tokens that were issued to it."""

    def __init__(self, project: str) -> None:
        self.email = f"backflow@{project}.iam.gserviceaccount.com"
        self.reader = f"reader@{project}.iam.gserviceaccount.com"
        self.key_id = secrets.token_hex(20)
        self._project = project
        self._key = rsa.generate_private_key(65537, 2048)
        self._tokens: dict[str, float] = {}
        self._revoked_before = 0.0

    def key_file(self, base_url: str) -> dict[str, str]:
        """The JSON key of the service account."""
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        return {
            "type": "service_account",
            "project_id": self._project,
            "private_key_id": self.key_id,
            "private_key": self._key.private_bytes(encoding, form, serialization.NoEncryption()).decode(),
            "client_email": self.email,
            "client_id": "100000000000000000001",
            "auth_uri": f"{base_url}/o/oauth2/auth",
            "token_uri": f"{base_url}/token",
        }

    def issue(self) -> str:
        """A new access token."""
        token = "ya29." + secrets.token_urlsafe(64)
        self._tokens[token] = time.time() + LIFETIME
        return token

    def revoke(self) -> None:
        """All tokens that were issued or signed until now count no longer."""
        self._tokens.clear()
        self._revoked_before = time.time()

    def impersonate(self, request: Request) -> Response:
        """IAM Service Account Credentials: a token of the account that the caller may act as."""
        self.check(request, IAM_AUDIENCE)
        account, _, operation = request.path.rpartition("/")[2].partition(":")
        if operation != "generateAccessToken" or account != self.reader:
            text = "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist)."
            raise BigQueryError("accessDenied", text)
        body = requests.body(request, requests.IMPERSONATION)
        if not set(body["scope"]) & SCOPES:
            raise BigQueryError("invalid", "Invalid value at 'scope'")
        expires = dt.datetime.fromtimestamp(time.time() + LIFETIME, dt.UTC)
        found = {"accessToken": self.issue(), "expireTime": expires.strftime("%Y-%m-%dT%H:%M:%SZ")}
        return Response.json(200, found)

    def check(self, request: Request, audience: str = AUDIENCE) -> None:
        """Refuses a request without a valid token."""
        scheme, _, token = (request.header("authorization") or "").partition(" ")
        if scheme.lower() != "bearer":
            raise unauthorized()
        if self._tokens.get(token, 0) > time.time():
            return
        claims = self._claims(token)
        scopes = set(str(claims.get("scope", "")).split())
        if claims.get("iss") != claims.get("sub") or not (claims.get("aud") == audience or scopes & SCOPES):
            raise unauthorized()

    def _claims(self, token: str) -> dict[str, Any]:
        """The claims of a JWT that the service account signed."""
        try:
            header = jwt.get_unverified_header(token)
            required: Any = {"require": ["iss", "iat", "exp"], "verify_aud": False}
            claims: dict[str, Any] = jwt.decode(
                token, self._key.public_key(), algorithms=["RS256"], options=required, leeway=CLOCK_SKEW
            )
        except jwt.PyJWTError as error:
            raise unauthorized() from error
        lifetime = claims["exp"] - claims["iat"]
        if header.get("kid") not in (None, self.key_id) or claims["iss"] != self.email or lifetime > LIFETIME:
            raise unauthorized()
        if claims["iat"] < int(self._revoked_before):
            raise unauthorized()
        return claims

    def token_endpoint(self, request: Request) -> Response:
        """OAuth 2.0 for server to server applications: an assertion against an access token."""
        form = dict(parse_qsl(request.body.decode("utf-8", "replace")))
        kind = (request.header("content-type") or "").split(";")[0]
        if kind != "application/x-www-form-urlencoded" or form.get("grant_type") != GRANT:
            return Response.json(400, {"error": "unsupported_grant_type", "error_description": "Invalid grant_type"})
        try:
            claims = self._claims(form.get("assertion", ""))
        except BigQueryError:
            return Response.json(400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."})
        if claims.get("aud") not in (f"{request.base_url}/token", "https://oauth2.googleapis.com/token"):
            return Response.json(400, {"error": "invalid_grant", "error_description": "Invalid JWT audience."})
        if not set(str(claims.get("scope", "")).split()) & SCOPES:
            return Response.json(400, {"error": "invalid_scope", "error_description": "Empty or missing scope."})
        return Response.json(200, {"access_token": self.issue(), "expires_in": LIFETIME - 1, "token_type": "Bearer"})

    def metadata_server(self, request: Request) -> Response:
        """The metadata server of a pod with workload identity: it answers only with its header."""
        if request.header("metadata-flavor") != "Google":
            return Response(403, {"Content-Type": "text/html"}, b"Missing Metadata-Flavor:Google header.")
        path = request.path.removeprefix("/computeMetadata/v1").strip("/")
        marked = {"Metadata-Flavor": "Google"}
        account = path.removeprefix("instance/service-accounts/").split("/")
        if path == "project/project-id":
            return Response(200, {"Content-Type": "application/text", **marked}, self._project.encode())
        if path == "":
            return Response(200, {"Content-Type": "application/text", **marked}, b"instance/\nproject/\n")
        if account[0] not in ("default", self.email) or not path.startswith("instance/service-accounts/"):
            return Response(404, marked)
        if account[1:] == ["token"]:
            answer = Response.json(
                200, {"access_token": self.issue(), "expires_in": LIFETIME - 1, "token_type": "Bearer"}
            )
        elif account[1:] in ([], ["email"]):
            scopes = ["https://www.googleapis.com/auth/cloud-platform"]
            answer = Response.json(200, {"aliases": ["default"], "email": self.email, "scopes": scopes})
            if account[1:] == ["email"]:
                answer = Response(200, {"Content-Type": "application/text"}, self.email.encode())
        else:
            return Response(404, marked)
        answer.headers.update(marked)
        return answer
