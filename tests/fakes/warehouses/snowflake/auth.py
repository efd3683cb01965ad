"""Who asks: key-pair JWT, OAuth token or programmatic access token (pages "Authenticating to the server" and
"Key pair authentication: troubleshooting").
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from ..wire import Request
from .errors import SnowflakeError

TOKEN_TYPES = ("KEYPAIR_JWT", "OAUTH", "PROGRAMMATIC_ACCESS_TOKEN")
MAX_LIFETIME = 3600  # a JWT counts for one hour after its issue time, whatever it says
CLOCK_SKEW = 60


@dataclass
class User:
    """A user of the account with generated credentials."""

    name: str
    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    access_token: str = field(default_factory=lambda: secrets.token_urlsafe(48))
    oauth_token: str = field(default_factory=lambda: "ver:1-hint:1-" + secrets.token_urlsafe(48))
    public: rsa.RSAPublicKey | None = None
    """The key that an administrator gave in place of the generated one."""

    def public_key(self) -> rsa.RSAPublicKey:
        """What its tokens are checked with."""
        return self.public or self.key.public_key()

    def private_pem(self, passphrase: str | None = None) -> str:
        """The private key as PKCS#8, encrypted when there is a passphrase."""
        encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if passphrase:
            encryption = serialization.BestAvailableEncryption(passphrase.encode())
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        return self.key.private_bytes(encoding, form, encryption).decode()

    def fingerprint(self) -> str:
        """The public key's fingerprint, as in the issuer of a JWT."""
        encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        der = self.public_key().public_bytes(encoding, form)
        return "SHA256:" + base64.b64encode(hashlib.sha256(der).digest()).decode()


class Authenticator:
    """Finds the user of a request, or refuses it."""

    def __init__(self, account: str, users: list[User]) -> None:
        self._account = account
        self._users = {user.name: user for user in users}
        self._revoked: set[str] = set()
        self.failures: list[dict[str, str]] = []

    def user(self, request: Request) -> User:
        """The user that the request's token belongs to."""
        header = request.header("authorization")
        if not header:
            raise SnowflakeError(401, "390101", "Authorization header not found in the request data.")
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise SnowflakeError(401, "390101", "Authorization header not found in the request data.")
        token = token.strip()
        kind = request.header("x-snowflake-authorization-token-type")
        if kind is None:
            kind = self._examine(token)
        if kind not in TOKEN_TYPES:
            raise self._oauth_refused()
        if kind == "KEYPAIR_JWT":
            return self._by_jwt(token)
        attribute = "oauth_token" if kind == "OAUTH" else "access_token"
        for user in self._users.values():
            if secrets.compare_digest(getattr(user, attribute), token) and token not in self._revoked:
                return user
        if kind == "OAUTH":
            raise self._oauth_refused()
        raise SnowflakeError(401, "394400", "Programmatic access token is invalid.")

    def _examine(self, token: str) -> str:
        """Without the header the service determines the type from the token (reference page)."""
        if token.count(".") == 2:
            return "KEYPAIR_JWT"
        known = any(user.access_token == token for user in self._users.values())
        return "PROGRAMMATIC_ACCESS_TOKEN" if known else "OAUTH"

    def _oauth_refused(self) -> SnowflakeError:
        return SnowflakeError(401, "390303", "Invalid OAuth access token.")

    def refused(self, reason: str) -> SnowflakeError:
        """The one answer to every wrong JWT; the reason is told to an administrator only."""
        failure = str(uuid.uuid4())
        self.failures.append({"id": failure, "errorCode": reason})
        return SnowflakeError(401, "390144", f"JWT token is invalid. [{failure}]")

    def _by_jwt(self, token: str) -> User:
        try:
            header = jwt.get_unverified_header(token)
            claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
        except jwt.PyJWTError as error:
            raise self.refused("JWT_TOKEN_INVALID") from error
        if header.get("alg") != "RS256":
            raise self.refused("JWT_TOKEN_INVALID_ALGORITHM")
        account, _, rest = str(claims.get("iss", "")).partition(".")
        name, _, fingerprint = rest.partition(".")
        if account != self._account:
            raise self.refused("JWT_TOKEN_ACCOUNT_MISMATCH")
        user = self._users.get(name)
        if user is None:
            raise self.refused("JWT_TOKEN_INVALID_USER_IN_ISSUER")
        if claims.get("sub") != f"{account}.{name}":
            raise self.refused("JWT_TOKEN_INVALID")
        if fingerprint != user.fingerprint():
            raise self.refused("JWT_TOKEN_INVALID_PUBLIC_KEY_FINGERPRINT_MISMATCH")
        try:
            unchecked: Any = {"verify_exp": False, "verify_iat": False, "verify_aud": False}
            jwt.decode(token, user.public_key(), algorithms=["RS256"], options=unchecked)
        except jwt.PyJWTError as error:
            raise self.refused("JWT_TOKEN_INVALID_SIGNATURE") from error
        self._check_times(claims.get("iat"), claims.get("exp"))
        return user

    def _check_times(self, issued: Any, expires: Any) -> None:
        if not isinstance(issued, int) or not isinstance(expires, int):
            raise self.refused("JWT_TOKEN_MISSING_ISSUE_OR_EXPIRATION_TIME")
        now = time.time()
        if issued > now + CLOCK_SKEW:
            raise self.refused("JWT_TOKEN_INVALID_ISSUE_TIME")
        if min(expires, issued + MAX_LIFETIME) <= now:
            raise self.refused("JWT_TOKEN_INVALID_EXPIRATION_TIME")

    def revoke_tokens(self) -> None:
        """OAuth and programmatic access tokens of all users count no longer."""
        for user in self._users.values():
            self._revoked.update((user.access_token, user.oauth_token))
