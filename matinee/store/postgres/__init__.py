"""The second store: PostgreSQL, for several servers on one store. Needs the extra ``matinee[postgres]``."""
