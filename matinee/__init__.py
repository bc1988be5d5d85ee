"""Matinee: recommends video and audio by having watched and listened to it."""

import os

__version__ = "0.1.0"

# ONNX Runtime sends usage data to its maker, and keeps an id of the machine, unless told not to before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
