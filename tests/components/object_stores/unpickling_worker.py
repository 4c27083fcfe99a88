"""A process that unpickles the file of its first argument, and shows the file at its second one."""

import sys
from pathlib import Path

from apache_beam.internal import pickler
from apache_beam.io.filesystems import FileSystems

if __name__ == "__main__":
    pickler.loads(Path(sys.argv[1]).read_bytes())
    with FileSystems.open(sys.argv[2]) as file:
        sys.stdout.buffer.write(file.read())
