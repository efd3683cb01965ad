"""What a test may change of a server."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..administration import Rights


@dataclass
class Settings:
    """What a test may change."""

    deny: list[str] = field(default_factory=list)
    """Tables that the user may not read, as `database.table`."""
    read_only: bool = False
    """The user has no grant but SELECT."""
    rights: Rights | None = None
    """What was granted; unset: everything."""
    profile: int = 0
    """The setting `readonly` of the user's profile."""
    fail: dict[str, Any] | None = None
    """Reads of models fail after `rows` rows with `code`: as `text`, `member` or `tagged`."""
