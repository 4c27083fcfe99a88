"""The environment of processes that run models: without what opens doors elsewhere.

A process that converts or tries a model is given local files alone, so it needs no credentials.
What is left out is decided by name, and by values that hold a password; everything else stays, as
libraries are set up by it (PATH, TF_*, CUDA_*, OMP_*).
"""

import os
import re
from collections.abc import Mapping

_SECRET_WORDS = (
    *("KEY", "KEYS", "APIKEY", "TOKEN", "TOKENS", "SECRET", "SECRETS", "CREDENTIAL", "CREDENTIALS"),
    *("PASSWORD", "PASSWORDS", "PASSWD", "PASSPHRASE", "PWD", "PASS", "AUTH", "COOKIE", "SAS"),
    *("PGPASSWORD", "PGPASSFILE", "NETRC", "KUBECONFIG"),
)
# Whole families, of which only some are secret and none is needed.
_PREFIXES = ("AWS_", "AZURE_", "GOOGLE_", "GCP_", "GCS_", "S3_", "ARM_", "VAULT_")
# Where the shell is, which is a word of secrets, too.
_HARMLESS = ("PWD", "OLDPWD")
_PASSWORD_IN_URL = re.compile(r"://[^/\s@]*:[^/\s@]+@")


def without_secrets(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Returns an environment without credentials.

    Args:
        environment: By default this process's own.
    """
    return {
        name: value for name, value in environment.items() if not _is_secret(name.upper(), value)
    }


def _is_secret(name: str, value: str) -> bool:
    if name in _HARMLESS:
        return False
    words = re.split(r"[^A-Z0-9]+", name)
    is_named = not set(words).isdisjoint(_SECRET_WORDS) or name.endswith(("PASSWORD", "SECRET"))
    return is_named or name.startswith(_PREFIXES) or bool(_PASSWORD_IN_URL.search(value))
