"""YAML that every parser reads alike. Importing this loads PyYAML.

PyYAML writes for YAML 1.1, and Kubeflow's server, which is written in Go, reads 1.2: `1e3` and
`0o17` are texts to the one and numbers to the other. So whatever could be a number is in quotes.
"""

import re
from collections.abc import Iterable, Mapping

import yaml

_LIKE_A_NUMBER = re.compile(r"[-+.]*[0-9].*")


class _Dumper(yaml.SafeDumper):
    """A dumper that leaves no doubt of what is a text."""


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = '"' if _LIKE_A_NUMBER.fullmatch(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def dumped(documents: Iterable[Mapping[str, object]]) -> str:
    """Returns documents as YAML.

    Args:
        documents: The documents.
    """
    return str(yaml.dump_all(documents, Dumper=_Dumper, sort_keys=True))
