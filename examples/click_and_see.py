"""A click changes the next answer. Against a running server, with nothing but the standard library::

matinee demo &
python examples/click_and_see.py http://127.0.0.1:8420 ann
"""

from __future__ import annotations

import json
import sys
import uuid
from typing import Any
from urllib.parse import quote
from urllib.request import Request, urlopen


def get(server: str, path: str) -> Any:
    with urlopen(f"{server}/api/v1/{path}", timeout=30) as answer:  # noqa: S310 - the server is your own
        return json.load(answer)


def send(server: str, *events: dict[str, Any]) -> Any:
    """Sends events. Each has an id of its own, so after a lost answer they can safely be sent again."""
    body = json.dumps(events).encode()
    request = Request(f"{server}/api/v1/events", body, method="POST")  # noqa: S310
    with urlopen(request, timeout=30) as answer:  # noqa: S310
        return json.load(answer)


def main(server: str, user: str) -> None:
    def show(headline: str) -> list[dict[str, Any]]:
        print(headline)
        items: list[dict[str, Any]] = get(server, f"users/{quote(user, safe='')}/recommendations?n=5")["items"]
        for item in items:
            print(f"  {item['title']}: {item['reasons'][0]['text'] if item['reasons'] else ''}")
        return items

    liked = show(f"For {user}:")[0]
    print(send(server, {"id": str(uuid.uuid4()), "user": user, "item": liked["item"], "kind": "like"}))
    show(f"After {user} liked {liked['title']}:")


if __name__ == "__main__":
    main(sys.argv[1].rstrip("/"), sys.argv[2])
