"""Paths on this machine, and URIs of other places."""


def is_local(uri: str) -> bool:
    """Returns whether a URI is a path on this machine."""
    return "://" not in uri
