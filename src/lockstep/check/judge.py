"""Claims against a run: `judge`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lockstep.check import claims, kinds, reference
from lockstep.check.evidence import Word
from lockstep.check.kinds import Found, Pair
from lockstep.check.reference import Match, Trained
from lockstep.errors import LockstepError
from lockstep.report import text
from lockstep.report.certificates import read_all
from lockstep.report.robustness import attacked
from lockstep.report.runs import Results

ABSENT = ("not installed", "skipped")
"""Outcomes that are nobody's fault."""
SHOWN = 3
"""Differences of settings, and results that are not there: so many are named."""


@dataclass(frozen=True)
class Verdict:
    claim: str
    verdict: Word
    test: str
    numbers: str
    reference: str = ""
    """Path of the reference file, if it takes one."""


@dataclass(frozen=True)
class Judgement:
    verdicts: list[Verdict]
    notes: list[str]
    """What was not judged, and why."""
    unfinished: list[str]
    """Wanted runs of installed backends that are not there."""

    def count(self, word: Word) -> int:
        return sum(each.verdict == word for each in self.verdicts)

    @property
    def applies(self) -> bool:
        """Whether any claim is about what this config trains, and not about any run at all."""
        return any(each.reference for each in self.verdicts)

    @property
    def passed(self) -> bool:
        return not self.unfinished and not self.count("does not hold")

    @property
    def summary(self) -> str:
        """ "18 of 20 claims hold; 1 cannot be told, 1 was not run" """
        total, holds = len(self.verdicts), self.count("holds")
        late, unsure, absent = (self.count(w) for w in ("does not hold", "cannot tell", "not run"))
        rest = [f"{late} {'does' if late == 1 else 'do'} not hold"] if late else []
        rest += [f"{unsure} cannot be told"] if unsure else []
        rest += [f"{absent} {'was' if absent == 1 else 'were'} not run"] if absent else []
        said = f"{holds} of {text.count(total, 'claim')} {'holds' if total == 1 else 'hold'}"
        return f"{said}; {', '.join(rest)}" if rest else said

    @property
    def answer(self) -> str:
        """Whether the run is a reproduction, in a line."""
        if self.unfinished:
            some = "; ".join(self.unfinished[:SHOWN]) + ("; …" if len(self.unfinished) > SHOWN else "")
            return f"No: {text.count(len(self.unfinished), 'result')} not there ({some}). {self.summary}."
        if self.count("does not hold"):
            first = next(each for each in self.verdicts if each.verdict == "does not hold")
            return f"No: “{first.claim}” does not hold. {self.summary}."
        if not self.applies:
            return f"No claim applies to this config, so nobody can tell. Of any run: {self.summary}."
        if not self.count("holds"):
            return f"Nothing could be judged. {self.summary}."
        return f"Yes, as far as it can be told: {self.summary}."


def judge(results: Results, path: Path = claims.PATH) -> Judgement:
    """Every claim of the file at `path` that is about what the run trained.  Raises LockstepError."""
    written = claims.read(path)
    observed, certified = reference.observe(results), read_all(results.config)
    pairs, notes = _pairs(written, observed)
    verdicts = []
    for place, claim in enumerate(written.claims):
        source = ""
        match claim:
            case claims.Consistent():
                found: Found | None = kinds.consistent(results)
            case claims.InStep():
                found = kinds.in_step(claim, results, certified)
            case _:
                source = str(written.file(claim.reference))
                pair = pairs.get(claim.reference)
                found = _measured(claim, pair, f"{path}: claims[{place}]", source) if pair else None
        if found:
            verdicts.append(Verdict(claim.claim, *found, source))
    return Judgement(verdicts, [*notes, *_unknown(observed, pairs)], _unfinished(results))


def _pairs(written: claims.Claims, observed: Mapping[str, Trained]) -> tuple[dict[str, Pair], list[str]]:
    """The run beside each reference that claims name, and which of them are not there."""
    counts = Counter(each.reference for each in written.claims if isinstance(each, claims.Measured))
    pairs, notes = {}, []
    for name, n in counts.items():
        file = written.file(name)
        if file.exists():
            known = reference.read(file)
            pairs[name] = Pair(observed, known, Match(observed, known))
        else:
            notes.append(f"{file} is not there: {text.count(n, 'claim')} about its runs not judged")
    return pairs, notes


def _measured(claim: claims.Measured, pair: Pair, where: str, source: str) -> Found | None:
    """None where it is about experiments that the run does not train."""
    named = {key: getattr(claim, key) for key in ("experiment", "baseline") if hasattr(claim, key)}
    for key, name in named.items():
        if name not in pair.reference.experiments:
            known = ", ".join(pair.reference.experiments)
            raise LockstepError(f"{where}.{key}: {name!r} is not in {source}, which has: {known}")
    if not all(pair.has(name, claim.measure) for name in named.values()):
        return None
    for name in named.values():
        if why := pair.unlike_attacks(name, claim.measure):
            return Found("not run", "as the reference was attacked", f"{name}: {why}")
    match claim:
        case claims.Reproduces():
            return kinds.reproduces(claim, pair)
        case claims.EqualBackends():
            return kinds.equal_backends(claim, pair)
        case claims.Effect():
            return kinds.effect(claim, pair)
        case claims.Bound():
            return kinds.bound(claim, pair)
        case claims.Published():
            return kinds.published(claim, pair)
    raise AssertionError(claim)


def _unknown(observed: Mapping[str, Trained], pairs: Mapping[str, Pair]) -> list[str]:
    """The experiments that no reference has, and how the nearest one differs."""
    notes = []
    for name in observed:
        if not pairs or any(name not in pair.match.differ for pair in pairs.values()):
            continue
        nearest = min(pairs, key=lambda other: len(pairs[other].match.differ[name]))
        experiment, *what = pairs[nearest].match.differ[name]
        more = f" and {len(what) - SHOWN} more" if len(what) > SHOWN else ""
        notes.append(
            f"No claim about {name}: no reference has its settings; the nearest, {experiment} of "
            f"{nearest}.json, differs in {'; '.join(what[:SHOWN])}{more}"
        )
    rest = len(notes) - SHOWN
    return notes if rest < 2 else [*notes[:SHOWN], f"Nor about {rest} other experiments"]


def _unfinished(results: Results) -> list[str]:
    late = [
        f"{run.cell}: {run.outcome}" for run in results.runs if not run.usable and run.outcome not in ABSENT
    ]
    robustness = attacked.read(results)
    return late + [
        f"attacks on {each.run.cell}: {each.outcome}"
        for each in (robustness.runs if robustness else [])
        if each.run.usable and not each.usable
    ]
