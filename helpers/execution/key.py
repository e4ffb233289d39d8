"""What the result of a notebook depends on, as one key.

That is: its code, its parameters, the modules of the course that it really imports (and what those import), the files
beside it that its code names, the embedded data, the versions of the course's dependencies, and where data come from.
Comments, docstrings, text cells and modules that it does not import are not part of the key.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from helpers import ASSETS
from helpers.files.home import without_tilde
from helpers.files.seeds_tables import seeds_table
from helpers.profiles import PROFILES

_ROOT = ASSETS.parent.parent  # what `import helpers` finds its modules in
_PLACES = ("COURSE_BUNDLE", "KERAS_HOME", "TFHUB_CACHE_DIR")  # of data and weights that are not embedded
_CHECK = re.compile(r"""\bcheck\(\s*["'](\d+)\.\d+["']""")  # it imports the checks of its exercise by number
_MAGIC = re.compile(r"^[ \t]*[%!].*$", re.MULTILINE)  # IPython's, no Python


def key_of(notebook: Path, parameters: Mapping[str, object]) -> str:
    """Return a key that changes with anything that the result of a notebook depends on.

    Args:
        notebook: a notebook with Python code.
        parameters: values for its parameters cell.
    """
    seen: dict[str, str] = {}
    _add(notebook, notebook.parent, seen)
    surroundings = {
        "parameters": dict(parameters),
        "versions": _versions(),
        "assets": _assets(),
        "places": _places(parameters),
        "recorded": _recorded(notebook, parameters),
        "device": [shutil.which("nvidia-smi"), os.environ.get("CUDA_VISIBLE_DEVICES")],
    }
    text = json.dumps([surroundings, sorted(seen.items())], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def modules_of(notebook: Path) -> set[str]:
    """Return the files that a notebook depends on, itself and the modules of the course included.

    Paths are relative to the folder in which ``helpers`` lies, where they are inside it.
    """
    seen: dict[str, str] = {}
    _add(notebook, notebook.parent, seen)
    return set(seen)


def imports_tensorflow(notebook: Path) -> bool:
    """Tell whether the code of a notebook itself loads TensorFlow or Keras."""
    _, trees = parse(notebook, notebook.stat().st_mtime_ns)
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return any(name.split(".")[0] in ("keras", "tensorflow") or name == "helpers.quiet" for name in names)


def _add(path: Path, folder: Path, seen: dict[str, str]) -> None:
    """Add a file, and what it depends on, to ``seen``: path -> digest. ``folder`` is that of the notebook."""
    name = path.relative_to(_ROOT).as_posix() if path.is_relative_to(_ROOT) else str(path)
    if name in seen:
        return
    if path.suffix not in (".py", ".ipynb"):
        seen[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        return
    if (quiz := path.parent / "quizzes" / f"{path.stem}.toml").is_file():
        _add(quiz, folder, seen)
    cells, trees = parse(path, path.stat().st_mtime_ns)
    seen[name] = hashlib.sha256("\0".join(cells).encode()).hexdigest()
    for tree in trees:
        for other in _imported(tree, folder):
            _add(other, folder, seen)
        if path.suffix == ".ipynb":
            for other in _named(tree, path.parent):
                _add(other, folder, seen)


def code_of(notebook: Path) -> tuple[str, ...]:
    """Return the code of a notebook's cells as far as it decides what the notebook measures.

    Without the set-up cell, the first one, which only finds the course, without the quiz, and without what is only
    printed: an answer to a line that a reader writes can get better, and the figures stay.
    """
    return tuple(
        ast.dump(_Silent().visit(_without_docstrings(tree, False))) if (tree := _tree_of(cell)) else cell
        for cell in _code_cells(notebook, without="quiz")[1:]
    )


class _Silent(ast.NodeTransformer):
    """Take away calls of ``print``, and conditions under which nothing else happens."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        printed = isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "print"
        return None if printed and not _names_something(node) else node

    def visit_If(self, node: ast.If) -> ast.If | None:
        self.generic_visit(node)
        return node if node.body or node.orelse or _names_something(node.test) else None


def _names_something(node: ast.AST) -> bool:
    return any(isinstance(part, ast.NamedExpr) for part in ast.walk(node))


def _code_cells(notebook: Path, without: str = "") -> list[str]:
    """Return the code cells of a notebook, except those with the tag ``without``."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    tags = [cell.get("metadata", {}).get("tags", []) for cell in cells]
    found = [cell for cell, has in zip(cells, tags, strict=True) if cell["cell_type"] == "code" and without not in has]
    return [cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"]) for cell in found]


def _tree_of(cell: str) -> ast.Module | None:
    """Return the tree of a cell, with ``pass`` for magics; None for what only IPython understands, or for a mistake."""
    try:
        return ast.parse(_MAGIC.sub("pass", cell))
    except SyntaxError:
        return None


@functools.cache
def parse(path: Path, changed: int) -> tuple[tuple[str, ...], tuple[ast.Module, ...]]:
    """Return the code of a module, or of each code cell of a notebook, without comments and docstrings, and its trees.

    ``changed`` is the file's time of change. Of a room's ``__init__``, what it imports and hands on is no code:
    ``_imported`` looks for the module that has what is wanted.
    """
    cells = [path.read_text(encoding="utf-8")] if path.suffix == ".py" else _code_cells(path)
    codes, trees = [], []
    for cell in cells:
        try:
            tree = ast.parse(_MAGIC.sub("pass", cell) if path.suffix == ".ipynb" else cell)
        except SyntaxError:  # some of IPython's, or a mistake: then each letter counts
            codes.append(cell)
            continue
        magics = _MAGIC.findall(cell) if path.suffix == ".ipynb" else []
        code = _without_docstrings(tree, path.name == "__init__.py")
        codes.append(ast.dump(code) + "\n".join(magics))
        trees.append(code)
        for number in sorted(set(_CHECK.findall(cell)) if path.suffix == ".ipynb" else ()):
            trees.append(ast.parse(f"import helpers.checks.exercise_{number.zfill(2)}"))
    return tuple(codes), tuple(trees)


def _without_docstrings(tree: ast.Module, hands_on: bool) -> ast.Module:
    """Take away a tree's docstrings, and, if it only ``hands_on`` names, its imports and ``__all__``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:]
    if hands_on:
        tree.body = [node for node in tree.body if not (isinstance(node, ast.ImportFrom) or _is_all(node))]
    return tree


def _is_all(node: ast.stmt) -> bool:
    """Tell whether a statement is ``__all__ = …``."""
    return isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__"


def _imported(tree: ast.AST, folder: Path) -> Iterator[Path]:
    """Yield the files of the modules that a tree imports, of the course and of the folder of the notebook."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _files(alias.name, None, folder)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield from _files(node.module, alias.name, folder)


def _files(module: str, name: str | None, folder: Path) -> Iterator[Path]:
    """Yield the files that ``import module`` or ``from module import name`` uses, among those of the course.

    A name that a room's ``__init__`` hands on leads to the module that has it, not to the whole room.
    """
    for root in (folder, _ROOT):
        place = root.joinpath(*module.split("."))
        init = place / "__init__.py"
        if place.with_suffix(".py").is_file():
            yield place.with_suffix(".py")
            return
        if init.is_file() and (root == folder or module.split(".")[0] == "helpers"):
            yield init
            handed_on = _handed_on(init, init.stat().st_mtime_ns)
            if name is not None and place.joinpath(f"{name}.py").is_file():
                yield place / f"{name}.py"
            elif name is not None and place.joinpath(name, "__init__.py").is_file():
                yield from _files(f"{module}.{name}", None, folder)
            elif name in handed_on:
                yield from _files(handed_on[name], name, folder)
            elif name is None or name == "*":
                for handed, source in handed_on.items():
                    yield from _files(source, handed, folder)
            return


@functools.cache
def _handed_on(init: Path, changed: int) -> dict[str, str]:
    """Return the names that an ``__init__`` imports, each with the module that it takes it from."""
    tree = ast.parse(init.read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module]
    return {alias.asname or alias.name: node.module or "" for node in imports for alias in node.names}


def _named(tree: ast.AST, folder: Path) -> Iterator[Path]:
    """Yield the files below the folder of a notebook that its code names, or whose folder it names.

    Of a notebook outside the course only code counts: it may name files that it writes itself.
    """
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    for text in sorted(texts):
        if text.strip("./") and len(text) < 200 and "\0" not in text and not Path(text).is_absolute():
            named = folder / text
            files = [named] if named.is_file() else sorted(named.iterdir()) if named.is_dir() else []
            for file in files:
                counts = folder.is_relative_to(_ROOT) or file.suffix in (".py", ".ipynb")
                if counts and file.is_file() and not file.name.startswith("."):
                    yield file


def _recorded(notebook: Path, parameters: Mapping[str, object]) -> object:
    """Return what a lesson shows beside its own run of what many seeds gave.

    With seed 0 alone: the other runs are those of which the table is made, and nobody reads them as pages.
    """
    if parameters.get("SEED", 0) != 0:
        return None
    return seeds_table(str(parameters.get("PROFILE")))["lessons"].get(notebook.stem)


@functools.cache
def _versions() -> dict[str, str]:
    """Return the versions of Python and of what the course declares that it needs."""
    from packaging.requirements import Requirement

    try:
        declared = importlib.metadata.requires("finetuning-course") or []
    except importlib.metadata.PackageNotFoundError:  # a copy that was not installed, as in Colab
        import tomllib

        declared = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    found = {"python": platform.python_version()}
    for requirement in map(Requirement, declared):
        if requirement.marker is None or "extra" not in str(requirement.marker):
            try:
                found[requirement.name] = importlib.metadata.version(requirement.name)
            except importlib.metadata.PackageNotFoundError:
                found[requirement.name] = "missing"
    return found


@functools.cache
def _assets() -> str:
    """Return a digest of the embedded data and networks."""
    digest = hashlib.sha256()
    for path in sorted(path for path in ASSETS.rglob("*") if path.is_file() and path.suffix != ".md"):
        digest.update(path.relative_to(ASSETS).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def _places(parameters: Mapping[str, object]) -> dict[str, str | None]:
    """Return where data and weights come from, if the run needs any that are not embedded."""
    profile = PROFILES.get(str(parameters.get("PROFILE")))
    if profile is not None and profile.dataset == "emoji10":
        return {}
    places: dict[str, str | None] = {name: os.environ.get(name) for name in _PLACES}
    if places["COURSE_BUNDLE"]:
        manifest = without_tilde(places["COURSE_BUNDLE"]) / "MANIFEST.json"
        places["manifest"] = hashlib.sha256(manifest.read_bytes()).hexdigest() if manifest.is_file() else None
    return places
