"""Runs the measurements of this folder, each in a process of its own::

    python -m benchmarks                 the quick ones, one after the other
    python -m benchmarks --list          what there is
    python -m benchmarks NAME [options]  one of them, with its own options

A module of this folder is a measurement when it has a ``main()``; it is quick when it says ``QUICK = True`` (about a
minute, no data from outside).
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def measurements() -> dict[str, tuple[str, bool]]:
    """Name to (first line of its docstring, quick?), read without importing anything."""
    found = {}
    for path in sorted(HERE.glob("[a-z]*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body):
            about = (ast.get_docstring(tree) or "").partition("\n")[0]
            found[path.stem] = (about, "QUICK = True" in path.read_text(encoding="utf-8"))
    return found


def run(name: str, arguments: list[str]) -> int:
    print(f"== {name}", flush=True)
    return subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *arguments], check=False).returncode


def main() -> int:
    there, asked = measurements(), sys.argv[1:]
    if asked[:1] == ["--list"]:
        for name, (about, quick) in there.items():
            print(f"{name:24} {'quick' if quick else '     '}  {about}")
        return 0
    if asked:
        if asked[0] not in there:
            print(f"There is no measurement {asked[0]!r}. There are: {', '.join(there)}", file=sys.stderr)
            return 2
        return run(asked[0], asked[1:])
    codes = [run(name, []) for name, (_, quick) in there.items() if quick]
    if not codes:
        print("None is quick. See: python -m benchmarks --list")
    return max(codes, default=0)


if __name__ == "__main__":
    sys.exit(main())
