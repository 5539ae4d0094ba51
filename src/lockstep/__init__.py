"""Lockstep: one CNN spec, every backend, step for step."""

__version__ = "0.1.0"
