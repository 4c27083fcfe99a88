"""Paths on this machine, and URIs of other places."""

import re

# `container@account` is how Azure's URIs of this kind name a place, without a password.
_PLACE_BEFORE_HOST = frozenset({"abfs", "abfss", "wasb", "wasbs"})
_AUTHORITY = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#\s]*)")
_PORT = re.compile(r":\d*$")
# Parameters that are a key or stand beside one: of Amazon's, Google's and Azure's signed URLs.
_SECRET_PARAMETER = re.compile(
    r"[?&;#](sig|sv|[\w.-]*(signature|credential|token|secret|passw(or)?d|pwd|access[_-]?key|"
    r"api[_-]?key|sas)[\w.-]*)=",
    re.IGNORECASE,
)


def is_local(uri: str) -> bool:
    """Returns whether a URI is a path on this machine."""
    return "://" not in uri


def holds_credentials(text: str) -> bool:
    """Returns whether a text holds a URI with a user, a password or a key in it.

    Args:
        text: A URI, or any text with one.
    """
    for match in _AUTHORITY.finditer(text):
        user, at, _ = match["authority"].rpartition("@")
        names_a_place = match["scheme"].lower() in _PLACE_BEFORE_HOST and ":" not in user
        if at and not names_a_place:
            return True
        # A password with a slash in it ends the authority too early.
        rest = text[match.end() :]
        if ":" in _PORT.sub("", match["authority"]).partition("[")[0] and "@" in rest:
            return True
        if _SECRET_PARAMETER.search(rest):
            return True
    return False


def without_credentials(uri: str) -> str:
    """Returns a URI after checking that nothing in it is a secret.

    Raises:
        ValueError: Something is; it is not repeated.
    """
    if holds_credentials(uri):
        raise ValueError(
            "holds a user, a password or a key, which would be written into logs and metadata; "
            "leave it out and give keys by the environment, see docs/push.md"
        )
    return uri
