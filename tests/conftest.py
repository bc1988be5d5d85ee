"""One thread a process: two workers with two threads each fight over two cores, and tiny matrices spend their time in
waiting for each other (the models' suite took 234 s so, 12 s with one thread)."""

import os

for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")  # before anything imports NumPy; child processes inherit it

# servers of the walks start a second sooner without the compiled loops; what is about them turns them on
os.environ.setdefault("MATINEE_COMPILED", "0")
