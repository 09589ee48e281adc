"""A value of a report, in words for people and in JSON for programs."""

from datetime import datetime, timedelta
from decimal import Decimal


def as_text(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float() | Decimal():
            return f"{value:,.3f}".rstrip("0").rstrip(".")
        case timedelta():
            return f"{value.total_seconds():,.3f} s"
        case datetime():
            return value.strftime("%Y-%m-%d %H:%M")
        case list():
            return ", ".join(map(str, value))
    return str(value)


def as_number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


def for_json(value: object) -> object:
    match value:
        case Decimal():
            return as_number(value)
        case timedelta():
            return value.total_seconds()
    return str(value)


# How json.dump() writes rows.
JSON = {"ensure_ascii": False, "indent": 2, "default": for_json}
