"""Runs of different machines, versions or settings side by side.  Start reading at comparison.py."""
