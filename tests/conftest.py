"""One thread a process: two workers with two threads each fight over two cores, and tiny matrices spend their time in
waiting for each other (the models' suite took 234 s so, 12 s with one thread)."""

import os
from collections.abc import Iterator

for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")  # before anything imports NumPy; child processes inherit it

import pytest  # noqa: E402

# servers of the walks start a second sooner without the compiled loops; what is about them turns them on
os.environ.setdefault("MATINEE_COMPILED", "0")


@pytest.fixture(scope="module", params=["numpy", "compiled"])
def either_form(request: pytest.FixtureRequest) -> Iterator[None]:
    """By NumPy, then by the compiled loops where Numba is installed."""
    from matinee import kernels

    kernels.stop()
    if request.param == "compiled":
        pytest.importorskip("numba", reason="the extra 'fast' is not installed")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(kernels.OFF, "1")
            assert kernels.start()
    yield
    kernels.stop()
