"""Modules of others that are imported when somebody uses them, not when somebody names them.

TensorFlow, Keras, Beam and TFX import much that few of their users need: notebooks, clients of
Google's services, scikit-learn. A module that is deferred is found as always, so that one that is
not installed is an ImportError at once, and its own code runs, unchanged, when an attribute is
first asked for. The standard library's `importlib.util.LazyLoader` does not serve: whoever looks at
all modules, as `inspect` does, has it load them, and so does a second import.
"""

import contextlib
import gc
import importlib
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

# What Keras imports for wrappers of scikit-learn, and for the one user in a notebook.
OF_KERAS = ("IPython", "keras.wrappers")
# The package alone: it imports all that it makes public, which is more than 1,500 modules. Modules
# inside it can be imported without, by a process that needs few of them.
TENSORFLOW = ("tensorflow",)
# Other names with underscores are of the import system, and asked for of every module.
_OF_THE_CODE = ("__all__", "__version__")


@contextlib.contextmanager
def deferred_imports(names: Iterable[str]) -> Iterator[None]:
    """Defers the imports of some modules that begin while the block runs.

    Args:
        names: The modules, by their full names. What is loaded already is left as it is.
    """
    finder = _Finder(frozenset(names))
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


@contextlib.contextmanager
def uncollected_imports() -> Iterator[None]:
    """Keeps the garbage collector from what is imported while the block runs, and ever after.

    Modules stay until the process ends. The collector would go through all of them again and again
    while they grow, and find nothing: with TensorFlow and TFX that takes a third of the import.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


class _Finder(MetaPathFinder):
    """Finds the modules that are to be deferred where Python finds them."""

    def __init__(self, names: frozenset[str]):
        self._names = names

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in self._names:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _DeferringLoader(spec.loader)
        return spec


class _DeferringLoader(Loader):
    """Makes a module without running its code."""

    def __init__(self, loader: Loader):
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _DeferredModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._loader


class _DeferredModule(ModuleType):
    """A module whose code runs when something is asked for that the import system does not set."""

    _lock: threading.RLock
    _is_running: bool

    def __init__(self, name: str):
        super().__init__(name)
        self.__dict__.update(_lock=threading.RLock(), _is_running=False)

    def __getattr__(self, name: str) -> object:
        if name.startswith("__") and name not in _OF_THE_CODE:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        if self._has_submodule(name):
            return importlib.import_module(f"{self.__name__}.{name}")
        # Other threads wait for the whole module; its own code may ask for what is not there yet.
        with self._lock:
            if type(self) is _DeferredModule and not self._is_running:
                self._run()
        return ModuleType.__getattribute__(self, name)

    def __reduce__(self) -> tuple[object, ...]:
        return importlib.import_module, (self.__name__,)

    def _has_submodule(self, name: str) -> bool:
        path = self.__dict__.get("__path__")
        return path is not None and bool(PathFinder.find_spec(f"{self.__name__}.{name}", path))

    def _run(self) -> None:
        assert self.__spec__ is not None and self.__spec__.loader is not None
        self._is_running = True
        try:
            self.__spec__.loader.exec_module(self)
        finally:
            self._is_running = False
        self.__class__ = ModuleType  # type: ignore[assignment]
