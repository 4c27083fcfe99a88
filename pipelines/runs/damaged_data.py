"""Whether a stage failed because of damaged data, and which file is damaged.

Beam, TFXIO and TensorFlow say what is wrong with a record, but not in which file it is. To find it
all files are read again, which takes minutes for large data; so that is done only after failures
that damaged data can cause.
"""

import re
from collections.abc import Callable
from pathlib import Path

from tfx_tflite.components.errors import chain
from tfx_tflite.pipelines.config.preflight import Preflight, find_corrupt_file

# What the readers of examples raise of files that are cut off or changed, or that hold something
# else. Of a worker the exception is only part of a text.
_SIGNS = re.compile(
    # apache_beam/io/tfrecordio.py
    r"Not a valid TFRecord"
    # zlib and gzip
    r"|while decompressing data|Compressed file ended before|BadGzipFile"
    # TFXIO's decoder, as RuntimeError
    r"|DATA_LOSS|INVALID_ARGUMENT: Feature had wrong type|Unable to parse example"
    # protobuf, and TensorFlow's readers and parsers
    r"|(?<![A-Za-z])DecodeError|Error parsing message|DataLossError"
    r"|parse serialized|parse example|[Dd]ata types don't match"
)


def may_be_damage(error: BaseException) -> bool:
    """Returns whether damaged data can be why a stage failed.

    Args:
        error: What the stage raised; it, its causes and their texts are looked at.
    """
    return any(_SIGNS.search(f"{type(link).__name__}: {link}") for link in chain(error))


def damaged_file(found: Preflight, say: Callable[[str], None]) -> str | None:
    """Returns which file is damaged and where, None if none is or a Ctrl-C ended the search.

    Args:
        found: What the config names.
        say: Is told that files are read again.
    """
    files = [Path(file) for data in found.data for file in data.files]
    if found.config.data.format != "tfrecord" or not files:
        return None
    # One of them may be what is gone.
    size = sum(file.stat().st_size for file in files if file.exists())
    number = "1 file" if len(files) == 1 else f"{len(files):,} files"
    say(f"looking for a damaged file among {number}, {size / 1e6:,.1f} MB; Ctrl-C skips it")
    try:
        return find_corrupt_file(found)
    except KeyboardInterrupt:
        return None
