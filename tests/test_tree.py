"""The tree keeps its shape: imports point down only, files and functions stay small, no state hides in modules."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent / "matinee"

# A room may import rooms of a lower layer, and itself. docs/guide/rooms.md draws this table.
LAYERS = {
    "types": 0, "errors": 0, "protocols": 0, "kernels": 0,
    "settings": 1, "registry": 1, "media": 1, "store": 1, "data": 1, "index": 1, "metrics": 1,
    "pipeline": 2, "encoders": 2, "models": 2,
    "release": 3, "evaluation": 3, "privacy": 3, "compress": 3, "scale": 3, "ingest": 3,
    "train": 4,
    "serve": 5,
    "demo": 6, "client": 6,
    "cli": 7,
}  # fmt: skip
FILE_LINES, FUNCTION_LINES, PARAMETERS = 400, 60, 6
SOURCES = sorted(p for p in ROOT.rglob("*.py"))


def room(path: Path) -> str:
    part = path.relative_to(ROOT).parts[0]
    return part.removesuffix(".py")


def imported(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("matinee.") and name.split(".")[1] in LAYERS}


def breaches(name: str, source: str) -> list[str]:
    """The rules of the tree that a file breaks."""
    found = []
    tree = ast.parse(source)
    own = name.split("/")[0].removesuffix(".py")
    if own in LAYERS:
        found += [f"{name}: imports {o}" for o in imported(tree) if o != own and LAYERS[o] >= LAYERS[own] > 0]
        found += [f"{name}: imports {o}" for o in imported(tree) if LAYERS[own] == 0 and LAYERS[o] > 0]
    if source.count("\n") > FILE_LINES:
        found.append(f"{name}: {source.count(chr(10))} lines")
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            found.append(f"{name}:{node.lineno}: module state ({', '.join(node.names)})")
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if (length := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES:
                found.append(f"{name}:{node.lineno}: {node.name} has {length} lines")
            given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            own_parameters = [a for a in given if a.arg not in ("self", "cls")]
            # a command's and a route's parameters are its flags, a compiled loop's its arrays: they may have more
            if len(own_parameters) > PARAMETERS and own not in ("cli", "serve", "kernels"):
                found.append(f"{name}:{node.lineno}: {node.name} takes {len(own_parameters)} parameters")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_file_keeps_the_rules(path: Path) -> None:
    assert breaches(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")) == []


def test_every_room_has_a_layer() -> None:
    rooms = {room(p) for p in SOURCES} - {"__init__", "__main__"}
    assert rooms <= set(LAYERS), rooms - set(LAYERS)


def test_nouns_import_numpy_and_msgspec_only() -> None:
    tree = ast.parse((ROOT / "types.py").read_text(encoding="utf-8"))
    modules = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    modules |= {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert modules <= {"__future__", "collections.abc", "dataclasses", "typing", "msgspec", "numpy", "numpy.typing"}


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("media/x.py", "from matinee.pipeline import blend\n"),
        ("models/x.py", "from matinee.encoders.text import Text\n"),
        ("types.py", "import matinee.store.sqlite\n"),
        ("media/x.py", "\n" * 401),
        ("media/x.py", "def f():\n" + "    pass\n" * 60),
        ("media/x.py", "def f(a, b, c, d, e, f, g): ...\n"),
        ("media/x.py", "def f():\n    global state\n"),
    ],
)
def test_the_check_finds_a_breach(name: str, source: str) -> None:
    assert breaches(name, source)
