"""The documentation tells the truth: its links lead somewhere, its commands exist, its curl lines work."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from matinee.settings import Library
from matinee.store import open_store
from matinee.types import Item
from tests.walks import serving

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
HAN = re.compile(r"[\u4e00-\u9fff]")


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.S)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in link:
            assert (page.parent / link).exists(), link


def test_both_readmes_show_the_same_commands():
    def commands(name: str) -> list[str]:
        lines = "\n".join(blocks(ROOT / name, "sh")).replace("\\\n", " ").splitlines()
        cut = [re.sub(r"\s*#.*|-H 'Accept-Language: zh' ", "", line).split("<")[0].strip() for line in lines]
        return [re.sub(r"\s+", " ", line) for line in cut if line]

    assert commands("README.md") == commands("README.zh.md")
    headings = [
        re.findall(r"^## ", (ROOT / n).read_text(encoding="utf-8"), re.M) for n in ("README.md", "README.zh.md")
    ]
    assert len(headings[0]) == len(headings[1])


def test_commands_in_the_documentation_exist():
    from typer.main import get_command

    from matinee.cli.app import build

    known = get_command(build()).commands
    named = {
        line.split()[1]
        for page in PAGES for language in ("sh", "") for block in blocks(page, language)
        for line in block.splitlines() if line.startswith("matinee ")
    }  # fmt: skip
    assert len(named) >= 6
    assert named <= set(known)


def test_every_dependency_has_a_decision():
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert pages
    for page in pages:
        assert re.match(r"\d{4}-", page.name), page.name
        assert page.read_text(encoding="utf-8").startswith("# "), page.name
    project = (ROOT / "pyproject.toml").read_text().partition("[project.optional")[0]
    wanted = re.findall(r'^  "([a-z]+)>=', project, re.M)
    told = " ".join(page.name + page.read_text(encoding="utf-8").lower() for page in pages)
    assert {"numpy", "litestar"} <= set(wanted)
    assert [name for name in wanted if name not in told] == []


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    path = tmp_path_factory.mktemp("docs")
    opened = Library.create(path)
    store = open_store(opened.database)
    store.put_items([Item(id=name, title=name, collection="clips") for name in ("lion", "cheetah", "tower")])
    store.close()
    with serving.serving(path) as running:
        yield running


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
@pytest.mark.parametrize("page", ["README.md", "README.zh.md", "docs/guide/api.md"])
def test_curl_lines_work(page, server):
    lines = "\n".join(blocks(ROOT / page, "sh")).replace("\\\n", " ")
    commands = re.findall(r"^curl (?:[^'\n]|'[^']*')+", lines, re.M)
    assert commands
    for command in commands:
        arguments = shlex.split(command.replace("http://127.0.0.1:8420", server.url))
        told = subprocess.run([*arguments, "-sS", "--fail-with-body"], capture_output=True, text=True, check=False)
        assert told.returncode == 0, (command, told.stdout, told.stderr)
        assert isinstance(json.loads(told.stdout), dict)


def test_the_api_page_names_every_route_and_no_other(server):
    told = server.client.get("/schema/openapi.json").json()["paths"]
    there = {(method.upper(), path) for path, methods in told.items() for method in methods if method != "head"}
    there |= {("GET", "/api/v1/metrics")}  # for machines; not in the schema
    text = (ROOT / "docs/guide/api.md").read_text(encoding="utf-8")
    named = set()
    for cell in re.findall(r"^\| (`(?:GET|POST|DELETE).*?) \|", text, re.M):
        path = ""
        for method, place in re.findall(r"`(GET|POST|PUT|DELETE)(?: (/[^`?]*))?", cell):
            path = place or path
            named.add((method, path))
    assert named == there


def test_the_settings_shown_are_the_defaults(tmp_path):
    from matinee.settings import Settings, read_settings

    (block,) = [b for b in blocks(ROOT / "docs/guide/library.md", "toml") if "[training]" in b]
    (tmp_path / "matinee.toml").write_text(block.replace('name = "Films"', ""))
    assert read_settings(tmp_path / "matinee.toml") == Settings()
    (block,) = blocks(ROOT / "docs/guide/api.md", "toml")
    (tmp_path / "matinee.toml").write_text(block)
    assert read_settings(tmp_path / "matinee.toml").access.keys[0].role == "read"


def missing_tests(page: str) -> list[str]:
    """Tests that a page names, ``test_x.py`` and parts of functions behind it, and that are not there."""
    found = []
    for name, parts in re.findall(r"`([\w/]*test_\w+\.py)`((?:,? [a-z0-9]+(?:_[a-z0-9]+)+)*)", page):
        files = [path for path in (ROOT / "tests").rglob("test_*.py") if str(path).endswith("/" + name)]
        there = " ".join(re.findall(r"def (test_\w+)", "".join(path.read_text("utf-8") for path in files)))
        found += [name] if not files else [f"{name} {part}" for part in re.findall(r"\w+", parts) if part not in there]
    return found


def test_the_tests_of_the_faults_exist() -> None:
    page = (ROOT / "docs/faults.md").read_text("utf-8")
    assert page.count("`test_") > 60
    assert missing_tests(page) == []
    assert missing_tests("`test_nothing.py` and `test_docs.py` no_such_test, faults_exist") == [
        "test_nothing.py", "test_docs.py no_such_test",
    ]  # fmt: skip


def test_benchmarks_can_be_listed():
    told = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--list"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert told.stdout
    wrong = subprocess.run(
        [sys.executable, "-m", "benchmarks", "nonsense"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert wrong.returncode == 2
