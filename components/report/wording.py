"""How figures, names and long text of a report read on its page."""

import math
import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tfx_tflite.components.models.target_facts import Source

if TYPE_CHECKING:
    from markupsafe import Markup

MAX_CHARACTERS = 120
MAX_REASON_CHARACTERS = 400

DASH = "—"
MINUS = "\N{MINUS SIGN}"
TIMES = "\N{MULTIPLICATION SIGN}"

# Unicode's bidirectional controls turn around the text that follows, a verdict too.
_TURNS = dict.fromkeys(
    [*range(0x202A, 0x202F), *range(0x2066, 0x206A)], "\N{REPLACEMENT CHARACTER}"
)
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class Clipped(str):
    """Text that is fit to be shown; still to be escaped."""


def clip(text: object, characters: int = MAX_CHARACTERS) -> str:
    """Returns text of at most so many characters, the middle cut out, without control characters.

    A lone surrogate, which JSON may carry and UTF-8 may not, becomes a question mark; a character
    that turns around the text after it is replaced.
    """
    plain = str(text).encode("utf-8", "replace").decode("utf-8")
    if len(plain) > characters:
        tail = characters // 3
        plain = f"{plain[: characters - tail - 1]}…{plain[-tail:]}"
    plain = "".join(" " if unicodedata.category(c) == "Cc" else c for c in plain)
    return Clipped(plain.translate(_TURNS))


def number(figure: float | None) -> str:
    """Returns a figure to 4 significant digits, or a dash if there is none.

    Example:
        >>> number(0.00221), number(48.7813), number(12345.6), number(None)
        ('0.00221', '48.78', '12,346', '—')
    """
    if figure is None or math.isnan(figure):
        return DASH
    if math.isinf(figure):
        return "∞" if figure > 0 else f"{MINUS}∞"
    if 1000 <= abs(figure) < 1e6:
        return f"{figure:,.0f}".replace("-", MINUS)
    mantissa, exponent, power = f"{figure:.4g}".partition("e")
    if exponent:
        mantissa += f" {TIMES} 10{str(int(power)).translate(_SUPERSCRIPTS)}"
    return mantissa.replace("-", MINUS)


def count(whole: int | None) -> str:
    """Returns a whole number with its thousands set apart, or a dash if there is none."""
    return DASH if whole is None else f"{whole:,}"


def counted(whole: int, one: str, more: str) -> str:
    """Returns a number and what it counts: 1 layer, 2 layers."""
    return f"{whole:,} {one if whole == 1 else more}"


def percent(share: float | None) -> str:
    """Returns a share as per cent to 4 significant digits, or a dash if there is none."""
    return DASH if share is None else f"{number(100 * share)}%"


def size(bytes_: float | None) -> str:
    """Returns bytes as B, kB (1,000 bytes), MB or GB, or a dash if there are none."""
    if bytes_ is None:
        return DASH
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        # 999,950 bytes and more would round to 1000 kB.
        if abs(bytes_) >= 0.99995 * factor:
            return f"{number(bytes_ / factor)} {unit}"
    return f"{number(bytes_)} B"


def exact_size(bytes_: float) -> str:
    """Returns bytes to the last one, with their thousands set apart."""
    return f"{bytes_:,.0f} B"


def milliseconds(duration: float) -> str:
    """Returns milliseconds to 4 significant digits."""
    return f"{number(duration)} ms"


# Of figures that rules limit; others have none.
_UNITS: dict[str, Callable[[float], str]] = {
    "size_bytes": exact_size,
    "arena_bytes": exact_size,
    "latency_ms": milliseconds,
    "accelerated": percent,
}


def in_unit(
    figure: float | None, metric: str, plain: Callable[[float | None], str] = number
) -> str:
    """Returns the figure of a rule, with its unit if it has one.

    Args:
        figure: The figure.
        metric: What the rule is on.
        plain: How a figure without a unit reads, or one that is not known.

    Example:
        >>> in_unit(65536, "arena_bytes"), in_unit(0.12345, "latency_ms"), in_unit(0.9, "AUC")
        ('65,536 B', '0.1235 ms', '0.9')
    """
    if figure is None or not math.isfinite(figure) or metric not in _UNITS:
        return plain(figure)
    return _UNITS[metric](figure)


def shape(dimensions: Sequence[int]) -> str:
    """Returns a tensor's shape; a dimension that is not fixed is a question mark."""
    return f" {TIMES} ".join("?" if d == -1 else str(d) for d in dimensions) or "scalar"


def words(name: str) -> str:
    """Returns a name of the report as words: `not_judged` as `not judged`."""
    return name.replace("_", " ")


def provenance(source: Source) -> str:
    """Returns where a figure is from: `estimate of ethos-u-vela 5.2.0` for example."""
    tool = f"{source.tool} {source.version}"
    machine = f" on {source.machine}" if source.machine else ""
    return {
        "exact": f"exact, by {tool}{machine}",
        "measured": f"measured with {tool}{machine}",
        "estimate": f"estimate of {tool}{machine}",
    }[source.kind]


def humps(name: str, characters: int = MAX_CHARACTERS) -> "Markup":
    """Returns a name as HTML that may break between its words, which CamelCase runs together."""
    from markupsafe import Markup

    parts = re.split(r"(?<=[a-z_])(?=[A-Z])|(?<=_)(?=[a-z])", clip(name, characters))
    return Markup("<wbr>").join(parts)


def speed(ratio: float, spread: tuple[float, float] | None) -> str:
    """Returns how fast a model is beside another in words.

    Args:
        ratio: Its time as a multiple of the other's.
        spread: Between what the ratio lies, if that is known; no difference is claimed if that is
            on both sides of 1.

    Example:
        >>> speed(1.1, (1.08, 1.13)), speed(0.5, None), speed(1.02, (0.9, 1.1))
        ('10% slower', '2 times as fast', 'no difference')
    """
    if not math.isfinite(ratio) or ratio <= 0:
        return DASH
    if spread is not None and spread[0] <= 1 <= spread[1]:
        return "no difference"
    if ratio >= 2:
        return f"{number(round(ratio, 1))} times as long"
    if ratio > 1:
        share = 100 * (ratio - 1)
        return f"{number(round(share, 0 if share >= 10 else 1))}% slower"
    if ratio == 1:
        return "as fast"
    return f"{number(round(1 / ratio, 2))} times as fast"


def cost(ratio: float | None) -> str:
    """Returns how much something costs beside another in words, or a dash if it is not known.

    Args:
        ratio: Its cost as a multiple of the other's.

    Example:
        >>> cost(0.25), cost(1.1), cost(1.0)
        ('75% less', '10% more', 'the same')
    """
    if ratio is None or not math.isfinite(ratio):
        return DASH
    share = number(round(100 * abs(ratio - 1), 1))
    if share == "0":
        return "the same"
    return f"{share}% {'less' if ratio < 1 else 'more'}"
