"""What in a config looks like a secret, and would be in a pipeline's file for all to read.

A guess by names and forms, for warnings: nobody is kept from anything by it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import JsonValue

from tfx_tflite.components.settings import Location
from tfx_tflite.components.uris import is_local
from tfx_tflite.pipelines.config.plain_values import nodes

if TYPE_CHECKING:
    from tfx_tflite.pipelines.config.config import PipelineConfig

# Words in the names of what nobody else may know.
_WORDS = frozenset({"PASSWORD", "PASSWD", "PASS", "SECRET", "TOKEN", "CREDENTIAL", "CREDENTIALS"})
_PAIRS = ("ACCESS_KEY", "API_KEY", "PRIVATE_KEY", "ACCOUNT_KEY", "APIKEY")
# The ends of the names of places where a secret is.
_PLACES = ("_FILE", "_PATH", "_DIR", "_NAME")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
# The forms that keys of well-known services have.
_FORMS = re.compile(
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"  # AWS
    r"|\bAIza[\w-]{35}"  # Google
    r"|\bgh[pousr]_\w{36}|\bgithub_pat_\w{22}"  # GitHub
    r"|\bxox[abeprs]-[\w-]{10}"  # Slack
    r"|\bhf_[A-Za-z0-9]{30}"  # Hugging Face
    r"|\bsk-[\w-]{20}"  # OpenAI and others
    r"|\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\."  # JSON Web Tokens
    r"|AccountKey=\S{20}|SharedAccessSignature=|[?&]sig=\S{20}"  # Azure
    r"|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|\bBearer \S{8}"
)


def is_secret(name: str, value: str) -> bool:
    """Returns whether a value is a secret, by its name or by itself; the place of one is none.

    Args:
        name: Such as `DB_PASSWORD` or `dbPassword`.
        value: What it is.
    """
    if has_password(value) or _FORMS.search(value):
        return True
    words = "_".join(_WORD.findall(name)).upper()
    is_place = value.startswith("/") or words.endswith(_PLACES)
    is_named = bool(_WORDS & set(words.split("_"))) or any(pair in words for pair in _PAIRS)
    return is_named and bool(value) and not is_place


def has_password(value: str) -> bool:
    """Returns whether a text is a URL with a user's password in it."""
    authority = value.partition("://")[2].partition("/")[0]
    return not is_local(value) and ":" in authority.rpartition("@")[0]


def secrets_in_pipeline(config: "PipelineConfig") -> Iterator[str]:
    """Yields the keys of a config whose values look like secrets and become part of a pipeline.

    Args:
        config: The config.
    """
    yield from (f"beam.args: {name}" for name in _secret_options(config.beam.args))
    trainer = config.model.trainer
    if trainer is not None and trainer.custom_config is not None:
        for key in _secret_keys(trainer.custom_config):
            yield f"model.trainer.custom_config.{key}"


def _secret_options(args: Sequence[str]) -> Iterator[str]:
    """Yields the names of options whose values look like secrets."""
    for argument, following in zip(args, (*args[1:], ""), strict=False):
        name, equals, value = argument.partition("=")
        if not equals and not following.startswith("-"):
            value = following
        if name.startswith("-") and is_secret(name, value):
            yield name


def _secret_keys(custom_config: Mapping[str, JsonValue]) -> Iterator[str]:
    yield from (".".join(map(str, location)) for location in _secrets_in("", custom_config))


def _secrets_in(name: str, document: object) -> Iterator[Location]:
    """Yields where in a document, which has a name itself, secrets are."""
    for location, value in nodes(document):
        names = [name, *(part for part in location if isinstance(part, str))]
        if isinstance(value, str) and is_secret(names[-1], value):
            yield location


def holds_secret(name: str, value: object) -> bool:
    """Returns whether there is a secret in a value, or in what it holds.

    Args:
        name: What the value is called.
        value: Mappings, lists and values.
    """
    options = [str(entry) for entry in value] if isinstance(value, list) else []
    return any(_secret_options(options)) or any(True for _ in _secrets_in(name, value))
