"""Whether a run is a reproduction: its results against written claims and reference runs.

measures.py      what is compared, and in which unit
reference.py     results as distributions over seeds: of this run, or of a reference on file
claims.py        docs/claims.yaml
evidence.py      from numbers to an interval to a verdict: all the statistics
kinds.py         one function for each kind of claim
judge.py         `judge(results, claims file)` -> verdicts, and what was not judged and why
terminal.py      `lockstep check` prints it
"""

from pathlib import Path

CLAIMS = Path("docs/claims.yaml")
REFERENCES = Path("results/reference")
