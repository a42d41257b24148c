"""Parts of this package as one file that needs nothing of it: what an exported folder carries as its code.

Only what the parts use is taken, definition by definition, as it stands in the package: there is one source of it.
"""

import ast
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

_PACKAGE = __name__.partition(".")[0]
_HEAD = '''\
"""{title}

Taken from the source of drip_lightning {version} (Apache-2.0), so that it works with diffusers and torch alone; changes
belong there.
"""

'''


def standalone_source(parts: Sequence[type], *, title: str, version: str) -> str:
    """The source of classes of this package, and of all that they use of it, as one module.

    Args:
        parts: Classes of this package.
        title: The module's first line.
        version: Of this package.

    Raises:
        ValueError: a class is not of this package.
    """
    wanted: dict[str, set[str]] = {}
    for part in parts:
        if not is_own(part):
            raise ValueError(f"{part.__module__}.{part.__qualname__} is not of {_PACKAGE}")
        _take(part.__module__, part.__name__, wanted)
    modules = [_parsed(name) for name in _in_order(wanted)]
    hoisted = {line for one in modules if not one.has_effects for line in one.imports_of(wanted[one.name])}
    bodies = [one.text(wanted[one.name]) for one in modules]
    return _HEAD.format(title=title, version=version) + "\n".join(sorted(hoisted)) + "\n\n\n" + "\n\n\n".join(bodies)


def is_own(part: type) -> bool:
    """Whether a class is this package's."""
    return part.__module__.partition(".")[0] == _PACKAGE


class _Module:
    """A module's top-level statements, by the names that they bind."""

    def __init__(self, name: str) -> None:
        spec = find_spec(name)
        assert spec is not None, name
        self.name = name
        self._source = Path(str(spec.origin)).read_text()
        self.defined: dict[str, list[ast.stmt]] = {}
        self.own_imports: dict[str, str] = {}
        """Local name to the package's module that it comes from."""
        self._imports: dict[str, str] = {}
        self._effects: list[ast.stmt] = []
        self._statements = ast.parse(self._source).body
        self.has_effects = False
        last: list[ast.stmt] = []
        for statement in self._statements:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                self._note_import(statement)
            elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                last.append(statement)  # what is said of the value above
            else:
                last = [statement]
                names = list(_bound(statement))
                for bound in names:
                    self.defined[bound] = last
                if not names:
                    self._effects.append(statement)
        self.has_effects = bool(self._effects)

    def _note_import(self, statement: ast.Import | ast.ImportFrom) -> None:
        module = getattr(statement, "module", None) or ""
        for alias in statement.names:
            local = (alias.asname or alias.name).partition(".")[0]
            if module.startswith(f"{_PACKAGE}."):
                assert alias.asname is None, f"{self.name} renames {alias.name}"
                self.own_imports[local] = module
            else:
                one = ast.Import([alias]) if isinstance(statement, ast.Import) else ast.ImportFrom(module, [alias], 0)
                self._imports[local] = ast.unparse(one)

    def uses(self, name: str) -> Iterator[tuple[str, str]]:
        """Module and name of each thing of the package that a definition uses."""
        for statement in (*self.defined.get(name, ()), *self._effects):
            for node in ast.walk(statement):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{_PACKAGE}."):
                    yield from ((str(node.module), alias.name) for alias in node.names)
                elif isinstance(node, ast.Name) and node.id in self.own_imports:
                    yield self.own_imports[node.id], node.id
                elif isinstance(node, ast.Name) and node.id != name and node.id in self.defined:
                    yield self.name, node.id

    def imports_of(self, names: set[str]) -> Iterator[str]:
        """Imports of other packages that the definitions of these names need."""
        used = self._used(names)
        yield from (line for local, line in self._imports.items() if local in used)

    def _used(self, names: set[str]) -> set[str]:
        statements = [one for name in names for one in self.defined.get(name, ())] + self._effects
        return {node.id for one in statements for node in ast.walk(one) if isinstance(node, ast.Name)} | names

    def text(self, names: set[str]) -> str:
        """The definitions of these names as they stand; where order matters, imports among them."""
        kept = {id(one) for name in names for one in self.defined.get(name, ())} | {id(one) for one in self._effects}
        parts = [self._cut(one) for one in self._statements if id(one) in kept]
        if self.has_effects:  # such as a setting that must come before an import
            used = self._used(names)
            parts = [ast.unparse(one) for one in self._statements if id(one) in kept or self._is_import(one, used)]
        return f"# {self.name}\n\n" + "\n\n".join(parts)

    def _is_import(self, statement: ast.stmt, used: set[str]) -> bool:
        """Whether a statement imports something that is used from another package."""
        if not isinstance(statement, ast.Import | ast.ImportFrom):
            return False
        local = {(alias.asname or alias.name).partition(".")[0] for alias in statement.names}
        return bool(local & used & self._imports.keys())

    def _cut(self, statement: ast.stmt) -> str:
        lines = self._source.splitlines()
        first = min([statement.lineno, *(one.lineno for one in getattr(statement, "decorator_list", ()))])
        left_out = {
            number
            for node in ast.walk(statement)
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{_PACKAGE}.")
            for number in range(node.lineno, (node.end_lineno or node.lineno) + 1)
        }
        numbers = range(first, (statement.end_lineno or first) + 1)
        return "\n".join(lines[number - 1] for number in numbers if number not in left_out)


_parsed = cache(_Module)


def _bound(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        yield statement.name
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    for target in targets:
        if isinstance(target, ast.Name | ast.Tuple):
            yield from (node.id for node in ast.walk(target) if isinstance(node, ast.Name))


def _take(module: str, name: str, wanted: dict[str, set[str]]) -> None:
    taken = wanted.setdefault(module, set())
    if name not in taken:
        taken.add(name)
        for used in _parsed(module).uses(name):
            _take(*used, wanted)


def _in_order(wanted: dict[str, set[str]]) -> list[str]:
    """Modules, those that others use before them; definitions of one name in two of them would hide each other."""
    order: list[str] = []

    def visit(name: str) -> None:
        if name not in order:
            for below in dict.fromkeys(module for own in sorted(wanted[name]) for module, _ in _parsed(name).uses(own)):
                if below != name:
                    visit(below)
            order.append(name)

    for name in wanted:
        visit(name)
    places = [(own, name) for name, names in wanted.items() for own in names if own in _parsed(name).defined]
    twice = {own for own, _ in places if sum(own == other for other, _ in places) > 1}
    assert not twice, f"names of several modules: {sorted((own, name) for own, name in places if own in twice)}"
    return order
