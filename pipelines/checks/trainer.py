"""Checks of the trainer's module, which is read and not run."""

import ast
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from tfx_tflite.components.errors import NotKnownError
from tfx_tflite.pipelines.checks.mistake import Mistake, did_you_mean, is_close
from tfx_tflite.pipelines.checks.subject import Subject

_KEY = "model.trainer.module_file"
# What TFX's Trainer calls.
_ENTRY = "run_fn"
# What catches an import that fails.
_CAUGHT = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


def trainer_can_be_imported(subject: Subject) -> Iterator[Mistake]:
    """Checks that the module parses, has `run_fn`, and that there is what it imports.

    What it imports from its folder is looked at in the same way.
    """
    trainer = subject.config.model.trainer
    if trainer is None:
        return
    file = Path(trainer.module_file)
    tree = _parsed(file)
    if isinstance(tree, Mistake):
        yield tree
        return
    yield from _entry(file, tree)
    # What a container's image has need not be here.
    may_be_elsewhere = subject.config.kubeflow is not None or _changes_path(tree)
    for mistake in _imports(file, tree, file.parent, {file}):
        yield replace(mistake, is_warning=may_be_elsewhere)


def _parsed(file: Path) -> ast.Module | Mistake:
    """Returns a module's syntax tree, or why there is none."""
    try:
        source = file.read_bytes()
        tree = ast.parse(source, str(file))
        # What is no error of the grammar, such as a `return` outside of functions.
        compile(tree, str(file), "exec", dont_inherit=True)
    except SyntaxError as error:
        return Mistake(_KEY, f"{file}:{error.lineno or 1}: {error.msg}; it cannot be imported")
    except OSError as error:
        return Mistake(_KEY, f"cannot read {file}: {error.strerror}", NotKnownError)
    except (ValueError, RecursionError) as error:
        return Mistake(_KEY, f"{file} cannot be read as Python: {error}")
    return tree


def _entry(file: Path, tree: ast.Module) -> Iterator[Mistake]:
    """Checks that the module has `run_fn`, which takes one argument."""
    names = set(_names_in(tree.body))
    if "*" in names or "__getattr__" in names:
        # What there is only shows when the module runs.
        return
    if _ENTRY not in names:
        close = is_close(_ENTRY, names)
        hint = f"; {did_you_mean(_ENTRY, names)}" if close else ", see configs/digits_trainer.py"
        yield Mistake(_KEY, f"{file} has no function {_ENTRY}(fn_args), which TFX calls{hint}")
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef) or node.name != _ENTRY:
            continue
        # What a decorator makes of it may take other arguments.
        if not node.decorator_list and not _takes_one(node.args):
            yield Mistake(
                _KEY, f"{file}:{node.lineno}: TFX calls {_ENTRY} with one argument, fn_args"
            )


def _takes_one(arguments: ast.arguments) -> bool:
    positional = len(arguments.posonlyargs) + len(arguments.args)
    needed = positional - len(arguments.defaults)
    needed_by_name = sum(default is None for default in arguments.kw_defaults)
    return needed <= 1 and not needed_by_name and (positional > 0 or arguments.vararg is not None)


def _changes_path(tree: ast.Module) -> bool:
    """Returns whether a module deals with `sys.path`, and so may import from anywhere."""
    return any(
        (isinstance(node, ast.Attribute) and node.attr == "path" and _is_name(node.value, "sys"))
        or (isinstance(node, ast.ImportFrom) and node.module == "sys" and _imports_path(node))
        or (isinstance(node, ast.Call) and _is_addsitedir(node.func))
        for node in ast.walk(tree)
    )


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _imports_path(node: ast.ImportFrom) -> bool:
    return any(alias.name == "path" for alias in node.names)


def _is_addsitedir(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "addsitedir"


def _names_in(body: list[ast.stmt]) -> Iterator[str]:
    """Yields the names that statements of a module give it."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
            continue
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                yield inner.id
            elif isinstance(inner, ast.alias):
                yield inner.asname or inner.name.partition(".")[0]
            elif isinstance(inner, ast.FunctionDef | ast.ClassDef):
                yield inner.name


def _imports(file: Path, tree: ast.Module, folder: Path, seen: set[Path]) -> Iterator[Mistake]:
    """Checks that there is what a module imports when it is imported."""
    for node in _imported_at_once(tree.body):
        if isinstance(node, ast.ImportFrom) and node.level:
            if file.parent == folder:
                yield Mistake(
                    _KEY,
                    f"{file}:{node.lineno}: TFX imports the file by itself, so that imports with a "
                    f"leading dot fail; write `from {node.module or 'MODULE'} import …`",
                )
            continue
        names = (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
        )
        for top in dict.fromkeys(name.partition(".")[0] for name in names):
            if not is_importable(top, folder):
                siblings = {sibling.stem for sibling in folder.glob("*.py")} - {file.stem}
                hint = f"; {did_you_mean(top, siblings)}" if is_close(top, siblings) else ""
                yield Mistake(
                    _KEY,
                    f"{file}:{node.lineno}: there is no module {top!r}, neither installed nor in "
                    f"{folder}{hint}",
                )
            yield from _sibling(folder / f"{top}.py", folder, seen)


def _sibling(file: Path, folder: Path, seen: set[Path]) -> Iterator[Mistake]:
    if file in seen or not file.is_file():
        return
    seen.add(file)
    tree = _parsed(file)
    if isinstance(tree, Mistake):
        yield tree
    else:
        yield from _imports(file, tree, folder, seen)


def _imported_at_once(body: list[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yields the imports that run when a module is imported, and that fail it if they fail."""
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.ClassDef) or (
            isinstance(node, ast.With) and not any(map(_names_caught, node.items))
        ):
            yield from _imported_at_once(node.body)
        elif isinstance(node, ast.Try) and not any(map(_catches_imports, node.handlers)):
            yield from _imported_at_once([*node.body, *node.orelse, *node.finalbody])


def _catches_imports(handler: ast.ExceptHandler) -> bool:
    return handler.type is None or _names_caught(handler.type)


def _names_caught(part: ast.AST) -> bool:
    """Returns whether an `except`, or a `with suppress(…)`, names an error of imports."""
    return any(
        (isinstance(node, ast.Name) and node.id in _CAUGHT)
        or (isinstance(node, ast.Attribute) and node.attr in _CAUGHT)
        for node in ast.walk(part)
    )


def is_importable(top: str, folder: Path | None) -> bool:
    """Returns whether there is a module or package, without importing it.

    Args:
        top: Its name, without dots.
        folder: Where it is looked for beside Python's path.
    """
    if folder is not None and ((folder / f"{top}.py").is_file() or (folder / top).is_dir()):
        return True
    try:
        return find_spec(top) is not None
    except (ImportError, ValueError, AttributeError):
        # A module that is loaded already, and whose origin Python does not know.
        return True
