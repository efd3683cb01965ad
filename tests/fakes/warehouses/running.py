"""A running fake: the service on one port, the control endpoint on another."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import TracebackType
from typing import Any

from .fake import Control, Front, Warehouse
from .tls import server_context
from .wire import Place, Server

# Where each is: a fake loads what it needs itself, and not the engines of the others.
SERVICES: dict[str, tuple[str, str]] = {
    "azuresql": (".azuresql.service", "AzureSql"),
    "bigquery": (".bigquery.service", "BigQuery"),
    "clickhouse": (".clickhouse.service", "ClickHouse"),
    "databricks": (".databricks.service", "Databricks"),
    "snowflake": (".snowflake.service", "Snowflake"),
}


def _service(name: str) -> Callable[..., Warehouse]:
    module, kind = SERVICES[name]
    made: Callable[..., Warehouse] = getattr(import_module(module, __package__), kind)
    return made


class Running:
    """Starts a fake; a context manager that stops it."""

    def __init__(
        self, service: str, place: Place | None = None, seed: str | None = None, tls: bool = False, **options: Any
    ) -> None:
        place = place or Place()
        self.warehouse = _service(service)(**options)
        if seed:
            self.warehouse.seed(seed)
        self.front = Front(self.warehouse)
        context, authority = server_context(place) if tls else (None, None)
        # Those that speak no HTTP bring a listener of their own.
        listen = getattr(self.warehouse, "listen", Server)
        self._public = listen(self.front, place, context)
        self._control = Server(Control(self.front))
        self.url, self.control = self._public.url, self._control.url
        self.connection: dict[str, Any] = {
            "service": service,
            "url": self.url,
            "address": self._public.address,
            "control": self.control,
            **({"certificateAuthority": authority} if authority else {}),
            **self.warehouse.connection(self.url),
        }

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stops both listeners."""
        self._public.close()
        self._control.close()
