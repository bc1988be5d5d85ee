"""A small language to narrow a request: ``duration < 600 and "jazz" in tags``.

- ``and``, ``or``, ``not`` in the usual order, and brackets.
- Comparisons: ``<  <=  >  >=  ==  !=``, also in a chain: ``60 < duration < 600``. Texts compare without case.
- Membership: ``"jazz" in tags``, ``"bob" not in creators``, ``language in ["en", "zh"]``, ``"war" in title``.
- Values: numbers, "texts", true, false, none, lists in square brackets, fields of an item, and ``properties.NAME``.
- ``topics``: what the encoders say an item is about, in English and in Chinese: ``"jazz" in topics or "猫" in topics``.

Nothing is called and nothing but these fields is looked up: the parser below is all there is. A comparison of things
that are missing or cannot be compared is false; ``duration == none`` finds what is missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from matinee.errors import MatineeError
from matinee.types import Item

LONGEST = 2000  # characters
DEEPEST = 40  # brackets and nots within each other
FIELDS = tuple(name for name in Item.__struct_fields__ if name not in ("properties", "media", "cover"))
TOKEN = re.compile(
    r"""\s*(?:(?P<number>-?\d+(?:\.\d+)?)|(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
    r"""|(?P<name>[^\W\d]\w*(?:\.\w+)?)|(?P<mark><=|>=|==|!=|[<>()\[\],]))"""
)
KEYWORDS = {"and", "or", "not", "in", "true", "false", "none"}
CONSTANTS = {"true": True, "false": False, "none": None}

Test = Callable[[Item], Any]
Token = tuple[str, str, int]  # kind, text, where


@dataclass(frozen=True, slots=True)
class Expression:
    """``text`` as given and the ``test`` it means. Made by ``parse``."""

    text: str
    test: Test

    def holds(self, item: Item) -> bool:
        return bool(self.test(item))


def parse(text: str, topics: Test = lambda item: ()) -> Expression:
    """``topics`` tells the names of an item's topics. Raises ``where.wrong`` and says where the text cannot be
    understood. O(length)."""
    if len(text) > LONGEST:
        raise wrong(f"it is longer than {LONGEST} characters", f"超过 {LONGEST} 个字符", LONGEST)
    reader = Reader(tuple(tokens(text)), [0], [0], topics)
    test = reader.either()
    if reader.kind() != "end":
        raise wrong(f"{reader.text()!r} is not expected", f"不应出现 {reader.text()!r}", reader.place())
    return Expression(text, test)


def tokens(text: str) -> list[Token]:
    found: list[Token] = []
    at = 0
    while at < len(text.rstrip()):
        match = TOKEN.match(text, at)
        if match is None:
            raise wrong(f"{text[at:].strip()[:10]!r} cannot be read", f"无法识别 {text[at:].strip()[:10]!r}", at)
        kind = str(match.lastgroup)
        word = match.group(kind)
        found.append(("word" if word in KEYWORDS else kind, word, match.start(kind)))
        at = match.end()
    return [*found, ("end", "", len(text))]


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads tokens from the left, one method for each level of binding. ``at`` and ``depth`` are one-element lists."""

    tokens: tuple[Token, ...]
    at: list[int]
    depth: list[int]
    topics: Test

    def kind(self) -> str:
        return self.tokens[self.at[0]][0]

    def text(self) -> str:
        return self.tokens[self.at[0]][1]

    def place(self) -> int:
        return self.tokens[self.at[0]][2]

    def take(self, *texts: str) -> str | None:
        """The next token's text if it is one of these keywords or marks."""
        if self.kind() in ("word", "mark") and self.text() in texts:
            self.at[0] += 1
            return self.tokens[self.at[0] - 1][1]
        return None

    def need(self, text: str) -> None:
        if not self.take(text):
            raise wrong(f"{text!r} is missing", f"缺少 {text!r}", self.place())

    def either(self) -> Test:
        terms = [self.both()]
        while self.take("or"):
            terms.append(self.both())
        return terms[0] if len(terms) == 1 else lambda item: any(term(item) for term in terms)

    def both(self) -> Test:
        terms = [self.negation()]
        while self.take("and"):
            terms.append(self.negation())
        return terms[0] if len(terms) == 1 else lambda item: all(term(item) for term in terms)

    def negation(self) -> Test:
        if not self.take("not"):
            return self.comparison()
        inner = self._deeper(self.negation)
        return lambda item: not inner(item)

    def comparison(self) -> Test:
        values, marks = [self.value()], []
        while mark := self.take("<", "<=", ">", ">=", "==", "!=", "in", "not"):
            if mark == "not":
                self.need("in")
                mark = "not in"
            marks.append(mark)
            values.append(self.value())
        if not marks:
            return values[0]
        links = list(zip(marks, values[:-1], values[1:], strict=True))
        return lambda item: all(compare(mark, a(item), b(item)) for mark, a, b in links)

    def value(self) -> Test:
        kind, text, place = self.tokens[self.at[0]]
        if self.take("("):
            inner = self._deeper(self.either)
            self.need(")")
            return inner
        if self.take("["):
            return self._list()
        if (word := self.take("true", "false", "none")) is not None:
            constant: Any = CONSTANTS[word]
        elif kind == "number":
            self.at[0] += 1
            constant = float(text)
        elif kind == "text":
            self.at[0] += 1
            constant = re.sub(r"\\(.)", r"\1", text[1:-1])
        elif kind == "name":
            self.at[0] += 1
            return self.topics if text == "topics" else field(text, place)
        else:
            raise wrong("a value is missing" if kind == "end" else f"{text!r} is not expected", "此处需要一个值", place)
        return lambda item: constant

    def _list(self) -> Test:
        values: list[Test] = []
        while not self.take("]"):
            if values:
                self.need(",")
            values.append(self._deeper(self.value))
        return lambda item: tuple(value(item) for value in values)

    def _deeper(self, read: Callable[[], Test]) -> Test:
        self.depth[0] += 1
        if self.depth[0] > DEEPEST:
            raise wrong("it is nested too deeply", "嵌套过深", self.place())
        test = read()
        self.depth[0] -= 1
        return test


def field(name: str, place: int) -> Test:
    """What reads a field of an item. Raises ``where.wrong`` for a name that is none."""
    first, _, rest = name.partition(".")
    if first == "properties" and rest:
        return lambda item: item.properties.get(rest)
    if name not in FIELDS:
        known = ", ".join((*FIELDS, "topics", "properties.NAME"))
        raise wrong(f"there is no field {name}; there are {known}", f"没有字段 {name}；可用的有 {known}", place)
    return lambda item: getattr(item, name)


def compare(mark: str, a: Any, b: Any) -> bool:
    """False where the two cannot be compared."""
    if mark in ("==", "!="):
        same = plain(a) == plain(b)
        return same if mark == "==" else not same
    if mark in ("in", "not in"):
        if not isinstance(b, str | list | tuple) or (isinstance(b, str) and not isinstance(a, str)):
            return False
        there = plain(a) in plain(b)
        return there if mark == "in" else not there
    if isinstance(a, str) != isinstance(b, str) or not all(isinstance(v, str | int | float) for v in (a, b)):
        return False
    x, y = plain(a), plain(b)
    return bool({"<": x < y, "<=": x <= y, ">": x > y, ">=": x >= y}[mark])


def plain(value: Any) -> Any:
    """Texts without case; lists as tuples of such."""
    if isinstance(value, str):
        return value.casefold()
    return tuple(plain(v) for v in value) if isinstance(value, list | tuple) else value


def wrong(en: str, zh: str, place: int) -> MatineeError:
    return MatineeError(
        "where.wrong",
        f"The filter cannot be understood at character {place + 1}: {en}. "
        'An example: duration < 600 and "jazz" in tags',
        f'筛选条件在第 {place + 1} 个字符处无法理解：{zh}。例如：duration < 600 and "jazz" in tags',
    )
