"""Scenarios: which stages answer which kind of place. A table to read; ``matinee.serve.assemble`` builds from it."""

from __future__ import annotations

from dataclasses import dataclass

from matinee.errors import MatineeError

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """``seen``: what of the past may not come again: "watched", "finished" (what was only begun may), "lately" (played
    within two hours) or "nothing". ``sources``: beside the models and content. ``selector``: "mmr" or "dpp".
    ``trend``: the half-life of popularity in seconds. ``objective``: what a good slate is measured by."""

    about: str
    about_zh: str
    objective: str = "click"
    seen: str = "watched"
    sources: tuple[str, ...] = ("popular", "starter", "new")
    selector: str = "mmr"
    diversity: float | None = None  # None: the library's setting
    novelty: float = 0.0
    exploration: float = 0.0
    per_creator: int = 0
    per_category: int = 0
    trend: float = 7 * DAY
    live: bool = False


SCENARIOS: dict[str, Scenario] = {
    "home": Scenario("a bit of everything that suits", "适合你的各种内容"),
    "short_video": Scenario(
        "an endless stream: varied, with some chance in it", "无尽的短视频流：多样，带一点随机",
        objective="watch time", selector="dpp", diversity=0.4, exploration=0.1, per_creator=2, trend=DAY,
    ),
    "film": Scenario(
        "one film for tonight", "今晚看哪部电影", objective="finish", diversity=0.15, trend=30 * DAY,
    ),
    "series": Scenario(
        "go on watching, the next episode, then something new", "继续观看、下一集，然后是新剧",
        objective="finish", seen="finished", sources=("continue", "next", "popular", "starter", "new"),
    ),
    "music": Scenario(
        "a play list: what is loved comes again, not at once", "播放列表：喜欢的会再来，但不会马上重复",
        objective="finish", seen="lately", sources=("again", "popular", "starter"), per_creator=3, diversity=0.1,
    ),
    "live": Scenario(
        "only what is on now, popular within minutes", "只有正在直播的内容，热度按分钟计",
        objective="watch time", seen="nothing", live=True, trend=10 * MINUTE,
        sources=("on_air", "popular", "starter"),
    ),
    "course": Scenario(
        "the next lesson, then what builds on it", "下一课，然后是进阶内容",
        objective="finish", seen="finished", sources=("continue", "next", "popular", "starter"), diversity=0.1,
    ),
    "knowledge_base": Scenario(
        "what belongs to the matter at hand", "与当前主题相关的内容",
        seen="nothing", sources=("popular", "starter"), diversity=0.1, trend=90 * DAY,
    ),
}  # fmt: skip


def scenario(name: str) -> Scenario:
    """Raises ``scenario.unknown``."""
    if (found := SCENARIOS.get(name)) is None:
        names = ", ".join(SCENARIOS)
        raise MatineeError(
            "scenario.unknown",
            f"There is no scenario {name!r}; there are {names}.",
            f"没有场景“{name}”；可用的有 {names}。",
        )
    return found
