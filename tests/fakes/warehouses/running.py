"""A running fake: the service on one port, the control endpoint on another."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

from .bigquery.service import BigQuery
from .databricks.service import Databricks
from .fake import Control, Front, Warehouse
from .snowflake.service import Snowflake
from .tls import server_context
from .wire import Server

SERVICES: dict[str, Callable[..., Warehouse]] = {
    "bigquery": BigQuery,
    "databricks": Databricks,
    "snowflake": Snowflake,
}


class Running:
    """Starts a fake; a context manager that stops it."""

    def __init__(self, service: str, port: int = 0, seed: str | None = None, tls: bool = False, **options: Any) -> None:
        self.warehouse = SERVICES[service](**options)
        if seed:
            self.warehouse.seed(seed)
        self.front = Front(self.warehouse)
        context, authority = server_context() if tls else (None, None)
        self._public = Server(self.front, port, context)
        self._control = Server(Control(self.front))
        self.url, self.control = self._public.url, self._control.url
        self.connection: dict[str, Any] = {
            "service": service,
            "url": self.url,
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
