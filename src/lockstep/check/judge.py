"""Claims against a run: `judge`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lockstep.check import CLAIMS, REFERENCES, claims, kinds, measures, reference
from lockstep.check.evidence import Word
from lockstep.check.kinds import Found, Pair
from lockstep.check.reference import Match, Trained
from lockstep.discovery import find
from lockstep.errors import LockstepError
from lockstep.freshness import OUTDATED
from lockstep.report import text
from lockstep.report.certificates import Certified, read_all
from lockstep.report.robustness import attacked, checks
from lockstep.report.robustness.attacked import Robustness
from lockstep.report.robustness.checks import Judged, upper_bound
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
    seeds: int = 0
    """Of the runs that it was asked of; 0 where it is not about seeds."""
    fresh: int = 0
    """Those of them that no reference has."""

    @property
    def drawn(self) -> str:
        """ "fresh", "on file", "2 of 5 fresh" """
        if not self.seeds:
            return ""
        if self.fresh in (0, self.seeds):
            return "fresh" if self.fresh else "on file"
        return f"{self.fresh} of {self.seeds} fresh"


@dataclass(frozen=True)
class Judgement:
    verdicts: list[Verdict]
    notes: list[str]
    """What was not judged, and why."""
    unfinished: list[str]
    """Wanted runs, attacks and certificates of installed backends that are not there."""

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
    def drawn(self) -> str:
        """How many claims were tested on fresh seeds.

        From a reference's own seeds it is the same run again, which shows that the computation is the same,
        and nothing of what other seeds would give.
        """
        told = [each for each in self.verdicts if each.seeds and each.verdict in ("holds", "does not hold")]
        if not told:
            return ""
        fresh, of = sum(each.fresh == each.seeds for each in told), text.count(len(told), "claim")
        return f" Tested on fresh seeds, which no reference has: {fresh} of {of} about trained runs."

    @property
    def answer(self) -> str:
        """Whether the run is a reproduction, and how many claims were tested on fresh seeds."""
        return self._answer + self.drawn

    @property
    def _answer(self) -> str:
        if self.unfinished:
            some = "; ".join(self.unfinished[:SHOWN]) + ("; …" if len(self.unfinished) > SHOWN else "")
            return f"No: {text.count(len(self.unfinished), 'result')} not there ({some}). {self.summary}."
        if self.count("does not hold"):
            first = next(each for each in self.verdicts if each.verdict == "does not hold")
            return f"No: “{first.claim}” does not hold. {self.summary}."
        if not self.applies:
            return f"No claim applies to this config, so nobody can tell. Of any run: {self.summary}."
        if not any(each.reference and each.verdict == "holds" for each in self.verdicts):
            return f"Nothing about a reference could be judged. {self.summary}."
        return f"Yes, as far as it can be told: {self.summary}."


def judge(results: Results, path: Path = CLAIMS) -> Judgement:
    """Every claim of the file at `path` that is about what the run trained.  Raises LockstepError."""
    written = claims.read(path)
    observed, certified = reference.observe(results), read_all(results.config)
    pairs, filed = _pairs(written, str(path), observed), reference.on_file(observed)
    robustness = attacked.read(results)
    judged = checks.judge(robustness) if robustness else []
    verdicts = []
    for place, claim in enumerate(written.claims):
        source, seeds = "", (0, 0)
        match claim:
            case claims.Consistent():
                found: Found | None = kinds.consistent(results)
            case claims.InStep():
                found = kinds.in_step(claim, results, certified)
            case _:
                source = str(REFERENCES / f"{claim.reference}.json")
                pair = pairs[claim.reference]
                found = _measured(claim, pair, f"{path}: claims[{place}]", source)
                if found:
                    found = found._replace(numbers=found.numbers + _bounds(claim, pair, judged))
                seeds = _seeds(claim, pair, filed)
        if found:
            verdicts.append(Verdict(claim.claim, *found, source, *seeds))
    notes = [*_unknown(observed, pairs), *_outdated(results)]
    return Judgement(verdicts, notes, _unfinished(results, robustness, certified))


def _pairs(written: claims.Claims, path: str, observed: Mapping[str, Trained]) -> dict[str, Pair]:
    """The run beside each reference that claims name."""
    pairs: dict[str, Pair] = {}
    for place, claim in enumerate(written.claims):
        if isinstance(claim, claims.Measured) and claim.reference not in pairs:
            try:
                known = reference.read(REFERENCES / f"{claim.reference}.json")
            except LockstepError as error:
                raise LockstepError(f"{path}: claims[{place}].reference: {error}") from None
            pairs[claim.reference] = Pair(observed, known, Match(observed, known))
    return pairs


def _measured(claim: claims.Measured, pair: Pair, where: str, source: str) -> Found | None:
    """None where it is about experiments that the run does not train."""
    named = {key: getattr(claim, key) for key in ("experiment", "baseline") if hasattr(claim, key)}
    known = pair.reference.experiments
    for key, name in named.items():
        if name not in known:
            has = ", ".join(known)
            raise LockstepError(f"{where}.{key}: {name!r} is not in {source}, which has: {has}")
    measured = [n for n, each in known.items() if any(each.values(side, claim.measure) for side in each.runs)]
    lacks = [name for name in named.values() if name not in measured]
    if lacks or not measured:
        of = text.listed(lacks or list(known))
        raise LockstepError(f"{where}.measure: no run of {of} in {source} has {claim.measure!r}")
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


def _bounds(claim: claims.Measured, pair: Pair, judged: Sequence[Judged]) -> str:
    """What is to be said where attacks were too weak for the numbers that a claim is about."""
    under = measures.attack(claim.measure)
    names = [name for name in _about(claim, pair) if under and upper_bound(judged, name, *under)]
    return f"; ⚠ ≤: of {text.listed(names)} an upper bound, as a check of the attack failed" if names else ""


def _about(claim: claims.Measured, pair: Pair) -> list[str]:
    """The experiments of the run that a claim names, or all that the reference has."""
    named = {getattr(claim, "experiment", ""), getattr(claim, "baseline", "")} - {""}
    return [name for known, name in pair.match.names.items() if known in named or not named]


def _seeds(claim: claims.Measured, pair: Pair, filed: Mapping[str, Trained]) -> tuple[int, int]:
    """How many seeds the runs have that a claim is about, and how many of them no reference has."""
    asked, known = (
        {seed for name in _about(claim, pair) for seed in trained[name].seeds(claim.measure)}
        for trained in (pair.observed, filed)
    )
    return len(asked), len(asked - known)


def _unknown(observed: Mapping[str, Trained], pairs: Mapping[str, Pair]) -> list[str]:
    """The experiments that are not judged, and why: one before is the same, or how the nearest differs."""
    twice = {name: first for pair in pairs.values() for name, first in pair.match.twice.items()}
    notes = [f"No claim about {name}: it is {first} again" for name, first in twice.items()]
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


def _outdated(results: Results) -> list[str]:
    """Runs of other source than is here are judged all the same, and it is said."""
    stale = [str(run.cell) for run in results.runs if run.outdated]
    more = f" and {len(stale) - SHOWN} more" if len(stale) > SHOWN else ""
    return [f"Judged too: {text.listed(stale[:SHOWN])}{more}, {OUTDATED}"] if stale else []


def _unfinished(results: Results, robustness: Robustness | None, certified: Sequence[Certified]) -> list[str]:
    late = [
        f"{run.cell}: {run.outcome}" for run in results.runs if not run.usable and run.outcome not in ABSENT
    ]
    for each in certified:
        absent = set(each.absent) & set(results.config.conformance.tiers)
        here = not find(each.side.backend).unusable(each.side.device)
        if absent and here and not each.falls_short:  # where one falls short, tiers after it are not reached
            late += [f"certificate of {results.label(each.side)}, {why}" for why in each.why_absent]
    return late + [
        f"attacks on {each.run.cell}: {each.outcome}"
        for each in (robustness.runs if robustness else [])
        if each.run.usable and not each.usable
    ]
