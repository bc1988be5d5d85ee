"""Every implementation assigned to its Protocol: nothing runs here, the strict type checker proves that each one fits."""

from __future__ import annotations
