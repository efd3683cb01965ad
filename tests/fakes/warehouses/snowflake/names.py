"""Identifiers. Snowflake folds unquoted names to upper case and then compares by case; DuckDB ignores case.

Each lower-case letter is therefore kept as a mark and its upper-case form, so that "email" and EMAIL are two
names for DuckDB too, and a client that quotes the wrong case fails here as it fails there.
"""

from __future__ import annotations

import re

_MARK = "\u00b7"
_MARKED = re.compile(f"{_MARK}(.)")


def encode(name: str) -> str:
    """The name in the engine."""
    return "".join(
        _MARK + letter.upper() if letter.islower() and len(letter.upper()) == 1 else letter for letter in name
    )


def decode(name: str) -> str:
    """The name in Snowflake; also for a message of the engine that holds names."""
    return _MARKED.sub(lambda found: found[1].lower(), name)
