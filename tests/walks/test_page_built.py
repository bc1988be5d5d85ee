"""The page's built files are what their source makes: the build writes digests of both, compared here without Node."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE, BUILT = ROOT / "web", ROOT / "matinee" / "serve" / "web"
SCRIPT_BUDGET = 200_000  # bytes, compressed


def digests(folder: Path, skip: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        if not name.startswith(skip):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def differences(recorded: dict[str, str], there: dict[str, str]) -> list[str]:
    return sorted(name for name in recorded.keys() | there.keys() if recorded.get(name) != there.get(name))


@pytest.fixture(scope="module")
def record() -> dict[str, dict[str, str]]:
    return dict(json.loads((BUILT / "built.json").read_text(encoding="utf-8")))


def test_the_page_was_built_from_its_source(record: dict[str, dict[str, str]]) -> None:
    if not SOURCE.is_dir():
        pytest.skip("the page's source is not part of this package")
    changed = differences(record["sources"], digests(SOURCE, ("node_modules/",)))
    assert not changed, f"the source changed after the build (make page): {changed}"


def test_nobody_edited_the_built_files(record: dict[str, dict[str, str]]) -> None:
    assert not differences(record["built"], digests(BUILT, ("built.json",)))


def test_the_check_finds_a_change(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text("let a;")
    (tmp_path / "b.js").write_text("let b;")
    before = digests(tmp_path, ())
    (tmp_path / "a.js").write_text("let c;")
    (tmp_path / "b.js").unlink()
    (tmp_path / "d.js").write_text("")
    assert differences(before, digests(tmp_path, ())) == ["a.js", "b.js", "d.js"]


def test_the_scripts_are_small() -> None:
    scripts = list((BUILT / "assets").glob("*.js"))
    assert scripts
    assert sum(len(gzip.compress(p.read_bytes())) for p in scripts) < SCRIPT_BUDGET


def test_the_document_needs_nothing_inline_and_nobody_else() -> None:
    text = (BUILT / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", text)
    for address in re.findall(r"(?:src|href)=\"([^\"]*)\"", text):
        assert address.startswith("/assets/")
        assert (BUILT / address.removeprefix("/")).is_file()


def test_the_lock_names_no_registry() -> None:
    if not SOURCE.is_dir():
        pytest.skip("the page's source is not part of this package")
    lock = json.loads((SOURCE / "package-lock.json").read_text(encoding="utf-8"))
    packages = {name: p for name, p in lock["packages"].items() if name}
    assert packages
    assert all("resolved" not in p and p["integrity"].startswith("sha512-") for p in packages.values())


def named_words(text: str) -> set[str]:
    """Every whole key that a source file asks ``t`` for."""
    return set(re.findall(r"""\bt\(\s*["']([\w:.-]+)["']\s*[,)]""", text))


def test_every_sentence_is_there_in_both_languages() -> None:
    if not SOURCE.is_dir():
        pytest.skip("the page's source is not part of this package")
    table = (SOURCE / "src" / "lib" / "words.js").read_text(encoding="utf-8")
    pairs = re.findall(r'^  "?([^"\n]+?)"?: \["((?:[^"\\]|\\.)*)", "((?:[^"\\]|\\.)*)"\],$', table, re.MULTILINE)
    known = {key: (en, zh) for key, en, zh in pairs}
    assert len(known) > 300
    for key, (en, zh) in known.items():
        assert en.strip(), key
        assert zh.strip(), key
        assert set(re.findall(r"\{\w+\}", en)) == set(re.findall(r"\{\w+\}", zh)), key
    sources = [p for p in (SOURCE / "src").rglob("*") if p.suffix in (".svelte", ".js")]
    asked = {key for path in sources for key in named_words(path.read_text(encoding="utf-8"))}
    assert len(asked) > 150
    assert asked - set(known) == set()


def test_the_check_finds_a_sentence_that_is_missing() -> None:
    assert named_words('{t(\'a_b\')} {t("c", {n: 1})} {t("d_" + x)}') == {"a_b", "c"}


def test_scripts_travel_packed() -> None:
    from matinee.serve import static

    name = next(p.name for p in (BUILT / "assets").glob("index-*.js"))
    plain, packed = static.page(name), static.page(name, "br, gzip")
    assert gzip.decompress(packed.content) == plain.content == (BUILT / "assets" / name).read_bytes()
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert len(packed.content) < len(plain.content) / 2
