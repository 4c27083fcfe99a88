"""What happens to the files of an artifact between the stage that makes it and one that takes it.

Run it as `python -m tests.pipelines.runs.attacks STAGE SOURCE TARGET run CONFIG …` to have a file
below the root of runs replaced during `tfx-tflite run`: when STAGE has ended, the newest file that
matches the pattern TARGET becomes what is at SOURCE.
"""

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Attack = Callable[[Path, Path], Path]


def files_of(artifact: Path) -> list[Path]:
    """Returns the files of an artifact that have any bytes, in order."""
    found = sorted(artifact.rglob("*")) if artifact.is_dir() else [artifact]
    return [path for path in found if path.is_file() and path.stat().st_size]


def swap(artifact: Path, other: Path) -> Path:
    """Puts all files of another valid artifact of the kind in the places of this one's.

    Returns:
        The first file that is another one now.
    """
    before = {path.relative_to(artifact): path.read_bytes() for path in files_of(artifact)}
    shutil.rmtree(artifact)
    shutil.copytree(other, artifact)
    after = {path.relative_to(artifact): path.read_bytes() for path in files_of(artifact)}
    changed = sorted(name for name in before | after if before.get(name) != after.get(name))
    return artifact / changed[0]


def age(artifact: Path, older: Path) -> Path:
    """Puts the bytes of one file of an older version back.

    Returns:
        That file.
    """
    for path in files_of(older):
        target = artifact / path.relative_to(older)
        if target.exists() and target.read_bytes() != path.read_bytes():
            shutil.copyfile(path, target)
            return target
    raise AssertionError(f"nothing is older in {older}")


def cut(artifact: Path, other: Path) -> Path:
    """Cuts the first file off in its middle."""
    [file, *_] = files_of(artifact)
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    return file


def corrupt(artifact: Path, other: Path) -> Path:
    """Flips one bit in the middle of the last file."""
    [*_, file] = files_of(artifact)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    return file


def remove(artifact: Path, other: Path) -> Path:
    """Removes the last file."""
    [*_, file] = files_of(artifact)
    file.unlink()
    return file


def add(artifact: Path, other: Path) -> Path:
    """Adds a file beside the first one, with the same bytes."""
    [file, *_] = files_of(artifact)
    return Path(shutil.copyfile(file, file.with_name(f"{file.name}.more")))


ATTACKS: tuple[Attack, ...] = (swap, age, cut, corrupt, remove, add)


@dataclass(frozen=True)
class Replacement:
    """A file that is replaced when a stage has ended.

    Attributes:
        stage: The stage.
        source: What takes its place.
        target: Which file, as a pattern below the root of runs; the newest that matches.
    """

    stage: str
    source: Path
    target: str

    def happens_in(self, root: Path, stage: str) -> None:
        """Replaces the file if this is the stage."""
        if stage == self.stage:
            matching = sorted(root.glob(self.target), key=lambda path: path.stat().st_mtime_ns)
            shutil.copyfile(self.source, matching[-1])


def main() -> None:
    """Runs the command line with an attack in it; see the module's docstring."""
    stage, source, target = (sys.argv.pop(1) for _ in range(3))
    replacement = Replacement(stage, Path(source), target)

    from tfx_tflite.pipelines.cli import main, one_run

    ended = one_run.OneRun._ended

    def attacked(self: one_run.OneRun, result) -> None:
        ended(self, result)
        replacement.happens_in(Path(self._found.config.root), result.name)

    one_run.OneRun._ended = attacked
    main.command_line()


if __name__ == "__main__":
    main()
