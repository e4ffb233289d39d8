"""The house: imports between the rooms of ``helpers`` point one way, and each room says what it hands on."""

import ast
import importlib
import inspect
from pathlib import Path

import nbformat
import pytest

from course.site.pages import API

ROOT = Path(__file__).resolve().parent.parent
# What the modules of each room may import from other rooms. All may import what stands outside of the rooms.
MAY_IMPORT = {
    "files": set(),
    "data": {"files"},
    "models": {"files", "data"},
    "hub": {"files", "data", "models"},
    "notebook": {"files"},
    "execution": {"files"},
    "sweeps": {"files", "notebook", "execution"},
    "checks": {"files", "data", "models", "hub", "notebook", "execution", "sweeps"},
}
OUTSIDE = {"profiles", "quiet"}
LEARNERS = [module.removeprefix("helpers.") for module in API]  # the rooms of what notebooks import


def modules(folder):
    return sorted((ROOT / folder).rglob("*.py"))


def name_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(source):
    """Yield each import of a text of Python as the names of the module and of what is taken from it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports are not used here"
            yield from ((node.module, alias.name) for alias in node.names)


def imports_of(path):
    return list(imports(path.read_text(encoding="utf-8")))


def names_of(room):
    return importlib.import_module(f"helpers.{room}").__all__


def test_every_module_stands_in_a_room():
    rooms = {path.relative_to(ROOT / "helpers").parts[0] for path in modules("helpers")}
    assert rooms == MAY_IMPORT.keys() | {"__init__.py"} | {f"{name}.py" for name in OUTSIDE}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_between_rooms_point_one_way(room):
    for path in modules(f"helpers/{room}"):
        for module, name in imports_of(path):
            first, _, rest = f"{module}.{name}".partition(".")
            other = rest.split(".")[0]
            if first == "helpers" and other in MAY_IMPORT:
                assert other == room or other in MAY_IMPORT[room], f"{name_of(path)} imports {module}"


@pytest.mark.parametrize("module", sorted(OUTSIDE))
def test_what_stands_outside_of_the_rooms_imports_none(module):
    for other, _ in imports_of(ROOT / "helpers" / f"{module}.py"):
        assert other.split(".")[0] != "helpers" or other.split(".")[1] in OUTSIDE


def test_the_helpers_import_nothing_of_the_course_around_them():
    for path in modules("helpers"):
        found = {module.split(".")[0] for module, _ in imports_of(path)}
        assert not found & {"course", "tests", "benchmarks"}, name_of(path)


def test_no_module_imports_a_private_name_of_another():
    for path in (*modules("helpers"), *modules("course"), *modules("benchmarks")):
        for module, name in imports_of(path):
            private = any(part.startswith("_") for part in [*module.split("."), name])
            private = private and module not in ("__future__", "_json", "_thread")  # Python's own
            assert not private, f"{name_of(path)} imports {name} from {module}"


@pytest.mark.parametrize("room", [*MAY_IMPORT, "data.folder", *sorted(set(LEARNERS) - MAY_IMPORT.keys())])
def test_each_room_hands_on_names_that_exist_and_are_described(room):
    module = importlib.import_module(f"helpers.{room}")
    assert module.__doc__ and len(set(module.__all__)) == len(module.__all__) > 0
    for name in module.__all__:
        assert not name.startswith("_")
        value = getattr(module, name)
        assert not callable(value) or inspect.getdoc(value), name


def test_learners_meet_few_names():
    assert sum(len(names_of(room)) for room in LEARNERS) <= 65


@pytest.mark.parametrize("folder", ["notebooks", "notebooks/runs", "solutions"])
def test_notebooks_import_what_a_room_hands_on(folder):
    for path in sorted((ROOT / folder).glob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        for source in (cell.source for cell in cells if cell.cell_type == "code" and "helpers" in cell.source):
            lines = [line for line in source.splitlines() if not line.startswith(("%", "!"))]
            for module, name in imports("\n".join(lines)):
                if module == "helpers.quiet" or module.split(".")[0] != "helpers":
                    continue
                room = module.removeprefix("helpers.")
                assert name in names_of(room) or f"{room}.{name}" in LEARNERS, f"{path.name}: {module}, {name}"
