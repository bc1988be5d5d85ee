"""A typed client of the API, with nothing but the standard library and msgspec.

>>> matinee = Client("http://127.0.0.1:8420")                                       # doctest: +SKIP
>>> matinee.send([Event(id="1", user="ann", item="film-7", kind="like", at=now)])   # doctest: +SKIP
>>> for item in matinee.recommend("ann", n=5).items: ...                            # doctest: +SKIP
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec

from matinee.errors import MatineeError
from matinee.serve import forms
from matinee.serve.address import address
from matinee.serve.forms import Ask
from matinee.serve.interests import Interests
from matinee.types import Event, Item

T = TypeVar("T")
STEP = 1000  # events in one request
PLAIN = Ask()


@dataclass(frozen=True, slots=True)
class Client:
    """``key`` where the server wants one; ``timeout`` seconds a call; ``patience`` seconds over which a call is tried
    again when the server is busy or away. That is safe for every call here: reading changes nothing, an event is known
    by its id, an item is put whole. ``lang``: of reasons and errors. Thread-safe: calls share one connection and wait
    for each other. Close it, or use it in ``with``.

    Errors are ``MatineeError`` with the server's code and sentence; ``client.unreachable`` when nobody answers.
    """

    url: str = "http://127.0.0.1:8420"
    key: str = ""
    lang: str = "en"
    timeout: float = 10.0
    patience: float = 10.0
    _held: list[http.client.HTTPConnection] = field(default_factory=list, repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def close(self) -> None:
        with self._lock:
            self._drop()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def recommend(self, user: str, n: int = 20, ask: Ask = PLAIN) -> forms.Recommendations:
        query = [("n", str(n)), ("scenario", ask.scenario), ("page", ask.page), *_asked(ask)]
        turned = {"exploration": ask.exploration, "seed": ask.seed}
        query += [(name, str(value)) for name, value in turned.items() if value is not None]
        query += [("boost", f"{strength:g}:{where}") for where, strength in ask.boost]
        return self._get(address("users", user, "recommendations"), query, forms.Recommendations)

    def pages(self, user: str, n: int = 20, ask: Ask = PLAIN) -> Iterator[forms.Recommendations]:
        """Page after page without a repeat, until nothing is left."""
        while True:
            page = self.recommend(user, n, ask)
            yield page
            if not page.next:
                return
            fields = {name: getattr(ask, name) for name in ask.__dataclass_fields__}
            ask = Ask(**{**fields, "page": page.next})

    def recommend_many(self, users: Sequence[str], n: int = 20, ask: Ask = PLAIN) -> list[forms.Recommendations]:
        """One request for each 200 users; of ``ask`` collection, categories, where, scenario and diversity count."""
        slates: list[forms.Recommendations] = []
        for start in range(0, len(users), 200):
            asked = forms.BatchIn(
                users=tuple(users[start : start + 200]), n=n, collection=ask.collection, categories=ask.categories,
                where=ask.where, scenario=ask.scenario, diversity=ask.diversity,
            )  # fmt: skip
            slates += self._send("POST", "recommendations", asked, forms.Batch).slates
        return slates

    def reasons(self, user: str, item: str, scenario: str = "home") -> forms.Explained:
        """Why an item would be recommended to a user, in the slate or not."""
        return self._get(address("users", user, "reasons", item), [("scenario", scenario)], forms.Explained)

    def feedback(self, slate: str, told: forms.FeedbackIn) -> forms.Accepted:
        """What came of a slate; sending it again changes nothing."""
        return self._send("POST", address("slates", slate, "feedback"), told, forms.Accepted)

    def rows(self, user: str, n: int = 20, collection: str = "", ask: Ask = PLAIN) -> forms.Rows:
        query = [("n", str(n)), *_asked(ask), *([("collection", collection)] if collection else [])]
        return self._get(address("users", user, "rows"), query, forms.Rows)

    def similar(self, item: str, n: int = 20, by: str = "all", where: str = "", ask: Ask = PLAIN) -> forms.SimilarItems:
        """Of ``ask`` collection, where, age and blocked count."""
        query = [("n", str(n)), ("by", by), *_limits(ask), *([("where", where)] if where else [])]
        return self._get(address("items", item, "similar"), query, forms.SimilarItems)

    def search(self, words: str, n: int = 20, where: str = "", ask: Ask = PLAIN) -> forms.Hits:
        """Of ``ask`` collection, where, age and blocked count."""
        query = [("q", words), ("n", str(n)), *_limits(ask), *([("where", where)] if where else [])]
        return self._get("search", query, forms.Hits)

    def scenarios(self) -> tuple[forms.ScenarioForm, ...]:
        return self._get("scenarios", [], forms.Scenarios).scenarios

    def collections(self) -> tuple[forms.CollectionForm, ...]:
        return self._get("collections", [], forms.Collections).collections

    def users(self, part: str = "", n: int = 50) -> tuple[forms.UserForm, ...]:
        return self._get("users", [("q", part), ("n", str(n))], forms.Users).users

    def log(self, after: int | None = None, n: int = 1000) -> forms.Logged:
        """Events as they come in, from all users; ``last`` of one answer is ``after`` of the next. Wants an admin
        key."""
        return self._get("events", [("n", str(n)), *([] if after is None else [("after", str(after))])], forms.Logged)

    def search_picture(self, picture: bytes, n: int = 20, where: str = "") -> forms.Hits:
        """Items that look like a picture, given as the bytes of its file, at most 16 MB."""
        return self._send("POST", f"search/picture?{urlencode({'n': n, 'where': where})}", picture, forms.Hits)

    def search_sound(self, sound: bytes, n: int = 20, where: str = "") -> forms.Hits:
        """Items that sound like a sound or a video, given as the bytes of its file, at most 16 MB."""
        return self._send("POST", f"search/sound?{urlencode({'n': n, 'where': where})}", sound, forms.Hits)

    def send(self, events: Sequence[Event]) -> forms.Accepted:
        """All events, 1,000 a request; durable when it returns. ``rejected`` counts positions in ``events``."""
        accepted = duplicates = 0
        rejected: list[forms.Rejected] = []
        for start in range(0, len(events), STEP):
            told = self._send("POST", "events", list(events[start : start + STEP]), forms.Accepted)
            accepted, duplicates = accepted + told.accepted, duplicates + told.duplicates
            for one in told.rejected:
                rejected.append(forms.Rejected(index=start + one.index, error=one.error, message=one.message))
        return forms.Accepted(accepted=accepted, duplicates=duplicates, rejected=tuple(rejected))

    def events(self, user: str, n: int = 50) -> tuple[forms.Seen, ...]:
        return self._get(address("users", user, "events"), [("n", str(n))], forms.Events).events

    def item(self, item: str) -> forms.Whole:
        return self._get(address("items", item), [], forms.Whole)

    def put(self, item: Item) -> forms.Whole:
        return self._send("PUT", address("items", item.id), item, forms.Whole)

    def delete(self, item: str) -> None:
        self._send("DELETE", address("items", item), None, type(None))

    def export(self, user: str) -> forms.Export:
        return self._get(address("users", user, "export"), [], forms.Export)

    def profile(self, user: str) -> dict[str, Any]:
        """What is known of a user beside what they did. Wants an admin key."""
        return self._get(address("users", user), [], forms.Person).profile

    def put_profile(self, user: str, profile: Mapping[str, Any]) -> dict[str, Any]:
        """In the place of what was known: country, language, age, gender, and whatever else; nothing takes it away."""
        return self._send("PUT", address("users", user), dict(profile), forms.Person).profile

    def merge(self, user: str, session: str) -> forms.Merged:
        """An anonymous session turns out to be this user; its events, also late ones, are the user's from now on."""
        return self._send("POST", address("users", user, "merge"), {"session": session}, forms.Merged)

    def interests(self, user: str) -> Interests:
        """What the user likes, as far as it has a name: categories and tags, the heaviest first."""
        return self._get(address("users", user, "interests"), [], Interests)

    def remove_interest(self, user: str, interest: str) -> Interests:
        """Suggest no more because of an interest, such as ``category:Drama``; the next slate follows."""
        return self._send("DELETE", address("users", user, "interests", interest), None, Interests)

    def restore_interest(self, user: str, interest: str) -> Interests:
        return self._send("PUT", address("users", user, "interests", interest), None, Interests)

    def erase(self, user: str) -> forms.Erased:
        return self._send("DELETE", with_query(address("users", user), [("confirm", user)]), None, forms.Erased)

    def health(self) -> forms.Health:
        return self._get("health", [], forms.Health)

    def _get(self, path: str, query: Sequence[tuple[str, str]], kind: type[T]) -> T:
        return self._send("GET", with_query(path, [(name, value) for name, value in query if value]), None, kind)

    def _send(self, method: str, path: str, body: object, kind: type[T]) -> T:
        content = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
        until, pause = time.monotonic() + self.patience, 0.1
        while True:
            status, after, answer = self._once(method, f"/api/v1/{path}", content)
            if status not in (0, 429, 503) or time.monotonic() + pause > until:
                break
            time.sleep(max(pause, min(after, until - time.monotonic())))
            pause *= 2
        if not 200 <= status < 300:
            raise _error(status, answer, self.url)
        return msgspec.json.decode(answer or b"null", type=kind)

    def _once(self, method: str, path: str, content: bytes) -> tuple[int, float, bytes]:
        """Status (0 when nobody answers), seconds to wait, body."""
        headers = {"accept-language": self.lang, "content-type": "application/json"}
        if self.key:
            headers["authorization"] = f"Bearer {self.key}"
        with self._lock:
            try:
                connection = self._connection()
                connection.request(method, path, content or None, headers)
                answer = connection.getresponse()
                return answer.status, _seconds(answer.getheader("retry-after")), answer.read()
            except (OSError, http.client.HTTPException) as error:
                self._drop()  # a connection that was cut is not used again
                return 0, 0.0, str(error).encode()

    def _connection(self) -> http.client.HTTPConnection:
        if not self._held:
            place = urlsplit(self.url)
            made = http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
            self._held.append(made(place.netloc, timeout=self.timeout))
        return self._held[0]

    def _drop(self) -> None:
        while self._held:
            self._held.pop().close()


def _limits(ask: Ask) -> list[tuple[str, str]]:
    """What every address takes of a question."""
    query = [("collection", ask.collection), ("where", ask.where), *(("blocked", name) for name in ask.blocked)]
    return [(name, value) for name, value in query if value] + (
        [("age", f"{ask.age:g}")] if ask.age is not None else []
    )


def _asked(ask: Ask) -> list[tuple[str, str]]:
    """What slates and rows take of it."""
    query = [("country", ask.country), ("language", ask.language), *(("category", name) for name in ask.categories)]
    query += [*(("exclude", name) for name in ask.exclude), *(("interests", name) for name in ask.interests)]
    turned = {"diversity": ask.diversity, "novelty": ask.novelty}
    query += [(name, str(value)) for name, value in turned.items() if value is not None]
    return [*_limits(ask), *query]


def with_query(path: str, query: Sequence[tuple[str, str]]) -> str:
    return f"{path}{'&' if '?' in path else '?'}{urlencode(query)}" if query else path


def _seconds(header: str | None) -> float:
    try:
        return float(header or 0)
    except ValueError:
        return 0.0


def _error(status: int, answer: bytes, url: str) -> MatineeError:
    if status == 0:
        why = answer.decode("utf-8", "replace")
        return MatineeError(
            "client.unreachable",
            f"Nobody answers at {url}: {why}. Is the server running? matinee serve",
            f"{url} 没有响应：{why}。服务器启动了吗？matinee serve",
            exit_code=1,
        )
    try:
        told = msgspec.json.decode(answer, type=forms.Problem)
        return MatineeError(told.code, told.detail, told.detail, status=status)
    except msgspec.DecodeError:
        return MatineeError("client.odd_answer", f"{url} answered {status}.", f"{url} 返回 {status}。", status=status)
