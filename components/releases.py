"""Releases of a runtime, `2.14.0`, as numbers that order as the releases do."""

import re

_RELEASE = re.compile(r"([0-9]{1,3})\.([0-9]{1,3})(?:\.([0-9]{1,3}))?")
_MAJOR, _MINOR = 1_000_000, 1_000


def release_number(release: str) -> int:
    """Returns the number of a release.

    Args:
        release: Two or three numbers with dots between; the third is 0 if it is left out.

    Raises:
        ValueError: It is something else.

    Example:
        >>> release_number("2.9.0") < release_number("2.14")
        True
    """
    found = _RELEASE.fullmatch(release)
    if found is None:
        raise ValueError(f"{release!r} is not a release: write it as 2.14.0")
    major, minor, patch = (int(part or 0) for part in found.groups())
    return major * _MAJOR + minor * _MINOR + patch


def release_name(number: float) -> str:
    """Returns the release that has a number: `2.14.0`."""
    major, rest = divmod(int(number), _MAJOR)
    minor, patch = divmod(rest, _MINOR)
    return f"{major}.{minor}.{patch}"
