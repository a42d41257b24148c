"""Imports point down: from one floor to lower ones, and inside a room without circles; the words about it are true."""

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import drip_lightning
from drip_lightning.shipped import MODEL

PACKAGE = Path(drip_lightning.__file__).parent
NAME = "drip_lightning"
FLOORS = {
    "": 0,
    "errors": 0,
    "files": 0,
    "moved": 0,
    "memory": 0,
    "standalone": 0,
    "lean": 0,
    "shipped": 0,
    "choices": 0,
    "ops": 0,
    "nn": 1,
    "data": 1,
    "pipeline": 2,
    "lit": 3,
    "cost": 4,
    "export": 4,
    "evaluation": 4,
    "sweep": 5,
    "report": 6,
    "cli": 7,
}
"""Room to floor; "" is the package itself, which holds the version. Rooms on one floor do not import each other, but
anyone imports the errors and finds shipped files."""
BANNED = {"torchvision", "torchaudio"}


def imported_modules(source: str, module: str, *, is_package: bool = False) -> Iterator[tuple[int, str]]:
    """Line and full name of everything imported anywhere in a file, inside functions and conditions, too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".")
                parents = parents[: len(parents) - node.level + is_package]
                base = ".".join([*parents, base] if base else parents)
            # `from package import name`: the name may be a module
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("importlib.import_module", "import_module"):
            yield from ((node.lineno, argument.value) for argument in node.args if isinstance(argument, ast.Constant))


def room(module: str) -> str:
    """`drip_lightning.nn.losses` is in `nn`; a name that the package itself defines is in ``."""
    parts = module.split(".")
    if len(parts) == 1 or parts[1].startswith("__"):
        return ""
    return parts[1]


def offences(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """What a file imports that it must not."""
    found = []
    own = room(module)
    assert own in FLOORS, f"{module}: give the room {own!r} a floor"
    for line, name in imported_modules(source, module, is_package=is_package):
        if name.split(".")[0] in BANNED:
            found.append(f"{module}:{line} imports {name}")
        if name.split(".")[0] != NAME:
            continue
        other = room(name)
        assert other in FLOORS, f"{module}:{line}: give the room {other!r} a floor"
        if other not in (own, "", "errors", "shipped", "choices") and FLOORS[other] >= FLOORS[own]:
            found.append(f"{module}:{line} (floor {FLOORS[own]}) imports {name} (floor {FLOORS[other]})")
    return found


def imports_between_siblings(imports: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    """Files and folders of one folder that import each other, of all folders.

    That `a.b.x` imports `a.c.y` makes `a.b` depend on `a.c`, so that a circle of modules, and one that only whole
    folders close, is a circle between siblings.

    Args:
        imports: Full names of a module and of what it imports.
    """
    graph: dict[str, set[str]] = {}
    for module, name in imports:
        own, other = module.split("."), name.split(".")
        depth = next((i for i, (one, two) in enumerate(zip(own, other, strict=False)) if one != two), None)
        if depth:  # neither another package nor a folder that holds the module
            graph.setdefault(".".join(own[: depth + 1]), set()).add(".".join(other[: depth + 1]))
    return graph


def circle(imports: Iterable[tuple[str, str]]) -> list[str]:
    """Some siblings that depend on each other in a circle, the first named again at the end; nothing if none do."""
    try:
        TopologicalSorter(imports_between_siblings(imports)).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def package_files() -> list[tuple[Path, str]]:
    files = sorted(file for file in PACKAGE.rglob("*.py") if MODEL not in file.parents)  # its code is a copy
    return [(file, ".".join([NAME, *file.relative_to(PACKAGE).with_suffix("").parts])) for file in files]


def test_imports_point_down_and_nobody_imports_torchvision() -> None:
    found = []
    for file, module in package_files():
        name = module.removesuffix(".__init__")
        if name == NAME:
            continue  # the public face names everything, and imports it when it is asked for
        found += offences(file.read_text(), name, is_package=name != module)
    assert found == []


def test_no_room_has_a_circle() -> None:
    imports = []
    for file, module in package_files():
        name = module.removesuffix(".__init__")
        imports += [(name, other) for _, other in imported_modules(file.read_text(), name, is_package=name != module)]
    assert circle(imports) == []


@pytest.mark.parametrize(
    ("imports", "expected"),
    [
        ([("p.a.x", "p.a.y.f"), ("p.a.y", "p.a.z"), ("p.a.z", "p.a.x")], {"p.a.x", "p.a.y", "p.a.z"}),
        ([("p.a.x", "p.b.x"), ("p.b.y", "p.a.y")], {"p.a", "p.b"}),  # closed by whole folders
        ([("p.a.b.x", "p.a.y"), ("p.a.y", "p.a.b.z")], {"p.a.b", "p.a.y"}),  # a folder, and a file beside it
        ([("p.a.x", "p.a.y"), ("p.b.x", "p.a.y"), ("p.a.y", "torch"), ("p.a.y", "p.version")], set()),
    ],
)
def test_a_circle_is_found(imports: list[tuple[str, str]], expected: set[str]) -> None:
    assert set(circle(imports)) == expected


def test_the_walk_sees_the_whole_package() -> None:
    """Guards the guard: every room is walked, and imports between them are seen."""
    modules = [module for _, module in package_files()]
    assert {room(module.removesuffix(".__init__")) for module in modules} == set(FLOORS)
    crossings = {
        (room(module), room(name))
        for file, module in package_files()
        for _, name in imported_modules(file.read_text(), module)
        if name.startswith(f"{NAME}.")
    }
    assert {("nn", "ops"), ("data", "ops"), ("pipeline", "nn"), ("lit", "pipeline"), ("lit", "data")} <= crossings


def test_each_way_of_pointing_up_is_found() -> None:
    bad = """
import torchvision.transforms
from torchvision import io
import drip_lightning.lit.stage
from drip_lightning import pipeline
from drip_lightning.ops.domains import stack_domains
from drip_lightning import errors, __version__
from ..data.sample import MattingBatch
from . import losses
if True:
    from drip_lightning.cli.main import main
def late():
    from drip_lightning.pipeline import Matte
    class Inner:
        import torchaudio
    importlib.import_module("drip_lightning.lit.scores")
"""
    found = {int(offence.split(":")[1].split(" ")[0]) for offence in offences(bad, "drip_lightning.nn.bad")}
    assert found == {2, 3, 4, 5, 8, 11, 13, 15, 16}


def test_data_never_imports_networks() -> None:
    assert offences("from drip_lightning.nn.losses import MattingLoss", "drip_lightning.data.bad")
    assert not offences("from drip_lightning.ops.padding import pad", "drip_lightning.data.good")


def test_relative_imports_of_a_package_are_resolved() -> None:
    for name, module in (("..lit", "drip_lightning.nn"), (".lit", "drip_lightning"), ("..nn", "drip_lightning.data")):
        assert offences(f"from {name} import stage", module, is_package=True), module
    assert not offences("from ..ops import domains", "drip_lightning.nn", is_package=True)
    assert not offences("from . import losses", "drip_lightning.nn", is_package=True)


def test_every_folder_has_a_caption_and_a_rooms_names_its_floor() -> None:
    for folder in {file.parent for file, _ in package_files()}:
        caption = ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
        assert caption, f"{folder}/__init__.py says nothing"
        if folder.parent == PACKAGE:
            assert caption.startswith(f"Floor {FLOORS[folder.name]}: "), f"{folder.name}: {caption}"


def test_the_page_on_the_architecture_names_rooms_floors_and_files_that_are_there() -> None:
    page = (Path(__file__).parents[1] / "ARCHITECTURE.md").read_text()
    rows = re.findall(r"^\| (\d) \| `(\w+)(?:/|\.py)` \| (.*) \|$", page, re.MULTILINE)
    assert {"": 0, "errors": 0, "shipped": 0, "choices": 0} | {own: int(floor) for floor, own, _ in rows} == FLOORS
    for _, own, text in rows:
        files = {file.stem for file in (PACKAGE / own).rglob("*")}
        unknown = {*re.findall(r"`([a-z_]+)(?:/|\.py)?`", text)} - files - {*FLOORS, "drip"}
        assert not unknown, f"{own}: {unknown}"
    paths = [path for path in re.findall(r"`(\w+/[\w/]+)`", page) if path.split("/")[0] in FLOORS]
    assert paths
    assert [path for path in paths if not ((PACKAGE / path).is_dir() or (PACKAGE / f"{path}.py").is_file())] == []


def test_every_kernel_is_kept_on_the_disk() -> None:
    """Numba takes seconds to compile one: once for a machine, not once for a process."""
    kernels = [
        (module, function.name, ast.unparse(decorator))
        for file, module in package_files()
        for function in ast.walk(ast.parse(file.read_text()))
        if isinstance(function, ast.FunctionDef)
        for decorator in function.decorator_list
        if "numba" in ast.unparse(decorator)
    ]
    assert len(kernels) > 10
    assert [kernel for kernel in kernels if "cache=True" not in kernel[2]] == []


def test_no_two_classes_share_a_name() -> None:
    """A choice is named by its class alone, and so is whatever a reader searches for."""
    names = [
        node.name
        for file, _ in package_files()
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ClassDef)
    ]
    assert len(names) > 100
    assert [name for name, count in Counter(names).items() if count > 1] == []
