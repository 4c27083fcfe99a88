"""TensorFlow Lite for programs that are not Python, as Maven's local repository has it.

`.ci/run` puts it there. Maven has no C library for Linux under that name, but one of JavaCPP's that
exports the same functions.
"""

import shutil
import zipfile
from pathlib import Path

import pytest

# Of later releases the headers include others that are not there.
HEADERS = "org/tensorflow/tensorflow-lite/2.12.0/tensorflow-lite-2.12.0.aar"
LIBRARY = (
    "org/bytedeco/tensorflow-lite/2.18.0-1.5.11/tensorflow-lite-2.18.0-1.5.11-linux-x86_64.jar"
)
ANDROID = (
    "org/tensorflow/tensorflow-lite/2.16.1/tensorflow-lite-2.16.1.aar",
    "org/tensorflow/tensorflow-lite-api/2.16.1/tensorflow-lite-api-2.16.1.aar",
)


def needed_program(name: str) -> None:
    """Skips the test where a program is missing."""
    if shutil.which(name) is None:
        pytest.skip(f"there is no {name}")


def artifact(path: str) -> Path:
    """Returns a file of Maven's local repository; skips the test where it is missing."""
    file = Path.home() / ".m2" / "repository" / path
    if not file.is_file():
        pytest.skip(f"Maven's local repository has no {file.name}; .ci/run gets it")
    return file


def tensorflow_lite(directory: Path) -> Path:
    """Returns a directory with `include` and `lib`, as a build of TensorFlow Lite's C library."""
    headers, library = artifact(HEADERS), artifact(LIBRARY)
    with zipfile.ZipFile(headers) as archive:
        names = [name for name in archive.namelist() if name.startswith("headers/")]
        archive.extractall(directory, names)
    (directory / "headers").rename(directory / "include")
    (directory / "lib").mkdir()
    with zipfile.ZipFile(library) as archive:
        [name] = [name for name in archive.namelist() if name.endswith("libjnitensorflowlite.so")]
        content = archive.read(name)
    for name in ("libjnitensorflowlite.so", "libtensorflowlite_c.so"):
        (directory / "lib" / name).write_bytes(content)
    return directory


def android_classes(directory: Path) -> list[Path]:
    """Returns the classes of TensorFlow Lite for Android, as jars."""
    jars = []
    for file in map(artifact, ANDROID):
        jars.append(directory / f"{file.stem}.jar")
        with zipfile.ZipFile(file) as archive:
            jars[-1].write_bytes(archive.read("classes.jar"))
    return jars
