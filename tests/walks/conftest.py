"""One library, one server and one browser for all walks of the page: they run in one process (``xdist_group``), each
test with viewers of its own."""

from tests.walks.page import address, browser, library

__all__ = ["address", "browser", "library"]
