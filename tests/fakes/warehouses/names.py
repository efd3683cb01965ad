"""Identifiers of services that compare names by case; DuckDB ignores case.

Each lower-case letter is kept as a mark and its upper-case form, so that "email" and EMAIL are two names for
DuckDB too, and a client that uses the wrong case fails here as it fails there.
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
    """The name in the service; also for a message of the engine that holds names."""
    return _MARKED.sub(lambda found: found[1].lower(), name)


# The same in the engine's SQL, for its catalog views.
DECODE_MACRO = f"""
CREATE MACRO decode_name(s) AS array_to_string(
    list_transform(string_split(s, '{_MARK}'), lambda p, i: CASE WHEN i = 1 THEN p ELSE lower(p[1]) || p[2:] END), '')
"""
