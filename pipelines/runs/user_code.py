"""The user's own modules: which files a module is made of, and how a run imports them.

A trainer's `module_file`, or the module of a metric, may import others from its folder. What it
computes depends on all of them, so all of them are in the key of what is done again. Imports are
read and not run: a name that is put together at run time (`importlib.import_module(name)`) is not
seen, nor is a file that a module opens.
"""

import ast
import contextlib
import importlib.abc
import importlib.machinery
import json
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, ModuleType

from tfx_tflite.components.digests import bytes_digest

_INSTALLED = tuple(sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib"))


def source_digest(file: str | Path, folder: str | Path | None = None) -> str:
    """Returns the digest of a module and of all that it imports from its folder.

    Args:
        file: The module's file.
        folder: Where its imports are looked for; None takes the folder that it is in.

    Raises:
        OSError: A file cannot be read.
    """
    root = Path(folder or Path(file).parent)
    contents = {
        path.relative_to(root).as_posix(): bytes_digest(content)
        for path, content in _sources(Path(file), root).items()
    }
    return bytes_digest(json.dumps(contents, sort_keys=True).encode())


def module_digest(name: str, folder: str | Path | None = None) -> str | None:
    """Returns the digest of a module that is found by name, with what it imports beside it.

    Of a package that is installed it is that of the module's file alone: versions of packages are
    keys by themselves.

    Args:
        name: The module's name.
        folder: Where it is looked for if it is on no path.

    Returns:
        None if there is no such module, which the run will say.

    Raises:
        OSError: A file cannot be read.
    """
    root = _root_of(name.partition(".")[0]) or folder
    files = list(_files_of(name, Path(root))) if root is not None else []
    if not files:
        return None
    if str(root).startswith(_INSTALLED):
        return bytes_digest(files[-1].read_bytes())
    return source_digest(files[-1], root)


def _root_of(package: str) -> str | None:
    """Returns the directory on Python's path that a module is in, without importing anything."""
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin)
    return str(file.parents[file.name == "__init__.py"])


def _sources(first: Path, root: Path) -> dict[Path, bytes]:
    """Returns the contents of a module's file and of those that it imports, by path."""
    found: dict[Path, bytes] = {}
    waiting = [first]
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        found[file] = file.read_bytes()
        for name in _imported_names(found[file], file, root):
            waiting += _files_of(name, root)
    return found


def _imported_names(source: bytes, file: Path, root: Path) -> Iterator[str]:
    """Yields the dotted names that a module may import; some may be of things in a module."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        # Whoever imports it will say so.
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _base_of(node, file, root)
            yield base
            yield from (f"{base}.{alias.name}".lstrip(".") for alias in node.names)


def _base_of(node: ast.ImportFrom, file: Path, root: Path) -> str:
    """Returns the dotted name of what is imported from; relative ones begin at a package."""
    if not node.level:
        return node.module or ""
    package = file.relative_to(root).parent.parts
    above = package[: len(package) - node.level + 1]
    return ".".join((*above, *filter(None, (node.module,))))


def _files_of(name: str, root: Path) -> Iterator[Path]:
    """Yields the files below a folder that an import of a dotted name runs."""
    if not name:
        return
    parts = name.split(".")
    if parts[-1] == "*":
        # What a package's `__all__` names may be modules of it.
        yield from sorted(root.joinpath(*parts[:-1]).glob("*.py")) if parts[:-1] else ()
        parts.pop()
    for depth in range(1, len(parts) + 1):
        place = root.joinpath(*parts[:depth])
        for file in (place / "__init__.py", place.with_name(f"{place.name}.py")):
            if file.is_file():
                yield file


class _FromSource(importlib.machinery.SourceFileLoader):
    """Compiles a module from its file.

    Python's own loader takes bytecode for a file of the same size and time of change, which may be
    that of other contents.
    """

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


class _PartFinder(importlib.abc.MetaPathFinder):
    """Finds modules of packages that are in a folder.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: str):
        self._folder = folder

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        for entry in path or ():
            if Path(entry).is_relative_to(self._folder):
                return _spec_in(entry, fullname)
        return None


class _TopFinder(importlib.abc.MetaPathFinder):
    """Finds modules and packages in a folder; it is asked last.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: str):
        self._folder = folder

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        return _spec_in(self._folder, fullname) if path is None else None


def _spec_in(directory: str, fullname: str) -> importlib.machinery.ModuleSpec | None:
    return importlib.machinery.FileFinder(directory, (_FromSource, [".py"])).find_spec(fullname)


@contextlib.contextmanager
def importable(module_file: str) -> Iterator[None]:
    """Lets a module import what is in its folder while the block runs.

    TFX's own runners pack the modules beside a `module_file` and put them last on the path. Here
    they are imported from where they are, also from packages, and always from their sources.
    Afterwards they are forgotten, so that the next run of this process imports what is there then.

    Args:
        module_file: The module's file.
    """
    folder = str(Path(module_file).resolve().parent)
    known, original = set(sys.modules), importlib.machinery.SourceFileLoader
    first, last = _PartFinder(folder), _TopFinder(folder)
    sys.meta_path.insert(0, first)
    sys.meta_path.append(last)
    # TFX names this class when it imports a `module_file`.
    importlib.machinery.SourceFileLoader = _FromSource  # type: ignore[misc]
    try:
        yield
    finally:
        importlib.machinery.SourceFileLoader = original  # type: ignore[misc]
        sys.meta_path.remove(first)
        sys.meta_path.remove(last)
        for name in set(sys.modules) - known:
            # TFX itself loads the `module_file` again, under a name of its own.
            if not name.startswith("user_module_") and _is_in(sys.modules[name], folder):
                del sys.modules[name]


def _is_in(module: ModuleType, folder: str) -> bool:
    spec = getattr(module, "__spec__", None)
    places = [getattr(spec, "origin", None), *(getattr(module, "__path__", None) or ())]
    return any(isinstance(place, str) and Path(place).is_relative_to(folder) for place in places)
