"""Snowflake's date and time formats: as DuckDB expressions for TO_VARCHAR, and for values of a result."""

from __future__ import annotations

import datetime as dt
import re

from sqlglot import exp

_ELEMENT = re.compile(
    r'"(?P<quoted>[^"]*)"|(?P<element>YYYY|YY|MMMM|MON|MM|DD|DY|HH24|HH12|HH|AM|PM|MI|SS|FF\d?|TZH:?TZM|TZH|TZM)'
    r"|(?P<other>.)",
    re.IGNORECASE | re.DOTALL,
)
_STRFTIME = {
    "YYYY": "%Y", "YY": "%y", "MMMM": "%B", "MON": "%b", "MM": "%m", "DD": "%d", "DY": "%a", "HH24": "%H",
    "HH12": "%I", "HH": "%H", "AM": "%p", "PM": "%p", "MI": "%M", "SS": "%S", "FF": "%n", "FF0": "", "FF3": "%g",
    "FF6": "%f", "FF9": "%n",
}  # fmt: skip


def _elements(pattern: str) -> list[tuple[str, str]]:
    """The pattern as (kind, text): an element in upper case, or literal text."""
    parts = []
    for found in _ELEMENT.finditer(pattern):
        if found["element"]:
            parts.append(("element", found["element"].upper()))
        else:
            parts.append(("text", found["quoted"] if found["quoted"] is not None else found["other"]))
    return parts


def to_varchar(value: exp.Expression, pattern: str) -> exp.Expression:
    """DuckDB's expression for TO_VARCHAR(value, pattern) of a date or timestamp."""
    pieces: list[exp.Expression] = []
    text = ""
    elements = _elements(pattern)
    if not any(kind == "element" and part[0] in "YD" for kind, part in elements):
        value = exp.func("sf_moment", value.copy())

    def flush() -> None:
        nonlocal text
        if text:
            pieces.append(exp.func("strftime", value.copy(), exp.Literal.string(text)))
        text = ""

    for kind, part in elements:
        if kind == "text":
            text += part.replace("%", "%%")
        elif part.startswith("TZ"):
            flush()
            pieces.append(_offset(value, part))
        elif part.startswith("FF") and part not in _STRFTIME:
            flush()
            nanos = exp.func("strftime", value.copy(), exp.Literal.string("%n"))
            pieces.append(exp.func("left", nanos, exp.Literal.number(part[2:])))
        else:
            text += _STRFTIME[part]
    flush()
    if not pieces:
        return exp.Literal.string("")
    joined = pieces[0]
    for piece in pieces[1:]:
        joined = exp.DPipe(this=joined, expression=piece)
    return exp.Paren(this=joined)


def _offset(value: exp.Expression, element: str) -> exp.Expression:
    offset = exp.func("sf_offset", exp.cast(value.copy(), exp.DataType.Type.TIMESTAMPTZ))
    hours = exp.func("left", offset, exp.Literal.number(3))
    minutes = exp.func("right", offset.copy(), exp.Literal.number(2))
    if element == "TZH":
        return hours
    if element == "TZM":
        return minutes
    if ":" in element:
        colon = exp.DPipe(this=hours, expression=exp.Literal.string(":"))
        return exp.DPipe(this=colon, expression=minutes)
    return offset


def render(value: dt.date | dt.time | dt.datetime, pattern: str) -> str:
    """A value of a result in an output format of the request."""
    offset = value.strftime("%z") if isinstance(value, dt.datetime) and value.tzinfo else "+0000"
    fraction = f"{getattr(value, 'microsecond', 0):06d}000"
    out = []
    for kind, part in _elements(pattern):
        if kind == "text":
            out.append(part)
        elif part.startswith("FF"):
            out.append(fraction[: int(part[2:] or 9)])
        elif part.startswith("TZ"):
            out.append(
                {"TZH": offset[:3], "TZM": offset[3:], "TZH:TZM": f"{offset[:3]}:{offset[3:]}"}.get(part, offset)
            )
        elif part == "YYYY":
            out.append(f"{getattr(value, 'year', 1):04d}")
        else:
            out.append(value.strftime(_STRFTIME[part]))
    return "".join(out)
