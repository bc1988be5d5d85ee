"""Matinee: recommends video and audio by having watched and listened to it."""

__version__ = "0.1.0"
