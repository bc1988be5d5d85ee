"""The one error that users see: what is wrong and how to mend it, in English and Chinese, with a code for machines."""

from __future__ import annotations

import os
from typing import Literal

Language = Literal["en", "zh"]


def language(environ: dict[str, str] | None = None) -> Language:
    """The language of this process: ``MATINEE_LANG``, else the locale's, else English."""
    env = os.environ if environ is None else environ
    named = env.get("MATINEE_LANG") or env.get("LC_ALL") or env.get("LC_MESSAGES") or env.get("LANG") or ""
    return "zh" if named.lower().startswith("zh") else "en"


class MatineeError(Exception):
    """``code`` is stable and dotted (``media.empty``); ``status`` is the HTTP status it answers with; ``exit_code`` is
    what the command line leaves with (2 = the input or the command is wrong, 1 = the world is)."""

    def __init__(self, code: str, en: str, zh: str, *, status: int = 400, exit_code: int = 2) -> None:
        super().__init__(en)
        self.code, self.en, self.zh, self.status, self.exit_code = code, en, zh, status, exit_code

    def say(self, lang: Language | None = None) -> str:
        return self.zh if (lang or language()) == "zh" else self.en

    def __str__(self) -> str:
        return self.say()

    def __reduce__(self) -> tuple[object, ...]:  # keyword arguments, so the default pickling between processes fails
        return _rebuild, (self.code, self.en, self.zh, self.status, self.exit_code)


def _rebuild(code: str, en: str, zh: str, status: int, exit_code: int) -> MatineeError:
    return MatineeError(code, en, zh, status=status, exit_code=exit_code)
