"""Roles, users, virtual warehouses and grants, as an administrator makes them."""

from __future__ import annotations

import base64
import binascii

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from ..administration import Forms, Rights, known
from ..engine import Engine
from .auth import User
from .catalog import all_tables
from .execute import create_database
from .session import Account, WarehouseState


class Administration:
    """The statements of an administrator."""

    def __init__(self, account: Account, user: User, engine: Engine) -> None:
        self._account, self._user, self._engine = account, user, engine
        self._rights = Rights()
        self._roles: set[str] = set()
        self._warehouses: dict[str, WarehouseState] = {}
        warehouse = (
            "CREATE WAREHOUSE {warehouse} WAREHOUSE_SIZE = XSMALL AUTO_SUSPEND = 60 AUTO_RESUME = TRUE "
            "INITIALLY_SUSPENDED = TRUE"
        )
        user_of = "CREATE USER {user} TYPE = SERVICE DEFAULT_ROLE = {role} RSA_PUBLIC_KEY = '{key}'"
        self._forms = Forms(
            {
                "CREATE DATABASE {database}": self._create_database,
                "CREATE ROLE {role}": lambda role: self._roles.add(_folded(role)),
                user_of: self._create_user,
                "GRANT ROLE {role} TO USER {user}": self._grant_role,
                warehouse: self._create_warehouse,
                "GRANT USAGE ON WAREHOUSE {warehouse} TO ROLE {role}": self._grant_warehouse,
                "GRANT USAGE ON DATABASE {place} TO ROLE {role}": self._grant_usage,
                "GRANT USAGE ON SCHEMA {place} TO ROLE {role}": self._grant_usage,
                "GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO ROLE {role}": self._grant_all,
                "GRANT SELECT ON FUTURE TABLES IN SCHEMA {schema} TO ROLE {role}": self._grant_future,
                "GRANT SELECT ON TABLE {table} TO ROLE {role}": self._grant_table,
                "GRANT CREATE SCHEMA ON DATABASE {place} TO ROLE {role}": self._grant_writing,
                "REVOKE CREATE SCHEMA ON DATABASE {place} FROM ROLE {role}": self._revoke_writing,
                "REVOKE SELECT ON ALL TABLES IN SCHEMA {schema} FROM ROLE {role}": self._revoke_all,
                "REVOKE SELECT ON FUTURE TABLES IN SCHEMA {schema} FROM ROLE {role}": self._revoke_future,
            }
        )

    def take(self, statement: str) -> bool:
        """Whether it is one of an administrator's statements, whose effect it has."""
        return self._forms.take(statement)

    def forget(self) -> None:
        """From now on the account's role may nothing that is not granted."""
        self._rights = Rights("_BACKFLOW", usage=True)
        self._account.denied, self._account.read_only = self._rights, True
        self._account.roles.clear()
        self._account.warehouses.clear()

    def _create_database(self, database: str) -> None:
        name = _folded(database)
        if name in self._account.databases:
            raise ValueError(f"Object '{name}' already exists.")
        cursor = self._engine.cursor()
        create_database(cursor, name, ["PUBLIC"])
        cursor.close()
        self._account.databases[name] = {"PUBLIC"}

    def _create_user(self, user: str, role: str, key: str) -> None:
        known(_folded(user), {self._user.name})
        known(_folded(role), self._roles)
        try:
            public = serialization.load_der_public_key(base64.b64decode(key, validate=True))
        except (binascii.Error, ValueError) as error:
            raise ValueError("New public key rejected by current policy. Reason: 'Invalid public key'.") from error
        if not isinstance(public, rsa.RSAPublicKey):
            raise ValueError("New public key rejected by current policy. Reason: 'Invalid public key'.")
        self._user.public = public

    def _grant_role(self, role: str, user: str) -> None:
        known(_folded(user), {self._user.name})
        self._account.default_role = known(_folded(role), self._roles)
        self._account.roles.add(self._account.default_role)

    def _create_warehouse(self, warehouse: str) -> None:
        self._warehouses[_folded(warehouse)] = WarehouseState(running=False)

    def _grant_warehouse(self, warehouse: str, role: str) -> None:
        self._to(role)
        name = known(_folded(warehouse), self._warehouses)
        self._account.warehouses[name] = self._warehouses[name]

    def _grant_usage(self, place: str, role: str) -> None:
        used = self._to(role).used
        if used is not None:
            used.add(self._place(place))

    def _grant_all(self, schema: str, role: str) -> None:
        self._to(role).tables |= self._tables(schema)

    def _revoke_all(self, schema: str, role: str) -> None:
        self._to(role).tables -= self._tables(schema)

    def _grant_future(self, schema: str, role: str) -> None:
        self._to(role).future[self._place(schema)] = self._tables(schema)

    def _revoke_future(self, schema: str, role: str) -> None:
        self._to(role).future.pop(self._place(schema), None)

    def _grant_table(self, table: str, role: str) -> None:
        self._to(role).tables.add(known(_folded(table), self._tables(table.rpartition(".")[0])))

    def _grant_writing(self, place: str, role: str) -> None:
        self._to(role)
        self._place(place)
        self._account.read_only = False

    def _revoke_writing(self, place: str, role: str) -> None:
        self._grant_writing(place, role)
        self._account.read_only = True

    def _to(self, role: str) -> Rights:
        known(_folded(role), self._roles)
        return self._rights

    def _place(self, name: str) -> str:
        """A database or schema that is there."""
        database, _, schema = _folded(name).partition(".")
        schemas = self._account.databases[known(database, self._account.databases)]
        return f"{database}.{known(schema, schemas)}" if schema else database

    def _tables(self, schema: str) -> set[str]:
        """The tables of a schema that is there."""
        cursor = self._engine.cursor()
        try:
            return {table for table in all_tables(cursor) if table.startswith(f"{self._place(schema)}.")}
        finally:
            cursor.close()


def _folded(name: str) -> str:
    return ".".join(part[1:-1] if part.startswith('"') else part.upper() for part in name.split("."))
