"""Keeps a server's release up to date between trainings: reads what came since from the log, folds it in, and hands
back the experts as they are now."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from matinee.data.strength import StrengthTable
from matinee.protocols import Log, Store
from matinee.release import Release
from matinee.serve.assemble import State
from matinee.serve.folding import Fold
from matinee.serve.quick import Quick


@dataclass(slots=True)
class Follower:
    """One of a server. ``quick``: the experts of the release as trained, that all folding starts from."""

    store: Store
    table: StrengthTable
    of: str = ""
    fold: Fold | None = None
    quick: Quick = Quick(())
    sequence: int = 0
    _at_it: threading.Lock = field(default_factory=threading.Lock)

    def follow(self, state: State) -> State | None:
        """The state with what was watched since folded in; None where nothing is new or nothing can be folded. One
        thread at a time; the others get None."""
        if state.trained is None or not self._at_it.acquire(blocking=False):
            return None
        try:
            if self.of != state.trained.digest:
                self._begin(state.trained)
            if self.fold is None or self.fold.full:
                return None
            news = self.store.log(self.sequence)
            if not len(news.sequence):
                return None
            self.sequence = int(news.sequence.max())
            if not self.fold.take(news):
                return None
            return state.with_quick(Quick(self.fold.into_models(state.trained, self.quick.models)))
        finally:
            self._at_it.release()

    def forget(self) -> None:
        """Everything is read anew from the log that is left: somebody was erased from it."""
        self.of = ""

    def _begin(self, release: Release) -> None:
        """Reads the log up to where the release was trained. A release that does not say where is left as it is."""
        named = self.store.release()
        sequence = named[1].get("sequence") if named is not None and named[0] == release.digest else None
        self.of, self.fold, self.quick = release.digest, None, Quick.of(release)
        if isinstance(sequence, int):
            self.sequence = sequence
            self.fold = Fold.of(release, until(self.store.log(), sequence), self.table)


def until(whole: Log, sequence: int) -> Log:
    """The part of a log up to a number."""
    kept = whole.sequence <= sequence
    names = ("sequence", "users", "items", "kinds", "at", "value")
    return Log(*(getattr(whole, name)[kept] for name in names))
