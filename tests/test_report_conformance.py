"""The page on conformance, from small fake certificates of everything that may be found on disk."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from io import StringIO
from pathlib import Path

import pytest

from lockstep import discovery
from lockstep.config import Config, load
from lockstep.config_file import TIERS
from lockstep.conformance.certificate import FILES, Certificate, Check, Curve, Diagnosis, Pair, Verdict, write
from lockstep.console import Console
from lockstep.freshness import of_certificate
from lockstep.report import build, runs, summary, tables, text
from lockstep.report.certificates import Certified, read_all
from lockstep.report.findings import Finding, same_run
from lockstep.report.overview import agree
from lockstep.report.overview.cards import Card
from lockstep.results import write_text

CONFIG = """
results: {root}/results
reports: {root}/reports
backends: [numpy, alpha, beta]
seeds: [0]
conformance: {{tiers: [T0, T1, T2, T3, T4, T5, T6, T7, T8], steps: 500, pairs: 8}}
base:
  model:
    layers:
      - {{kind: flatten}}
      - {{kind: dense, units: 10}}
  training: {{epochs: 1}}
experiments:
  plain: {{}}
"""
STEPS = [1, 30, 500]
SHA = "0123456789ab"
LIMITS = {"T1": 1e-12, "T2": 1e-12, "T3": 1e-5, "T4": 2e-6}
QUANTITIES = {"T1": "logits", "T2": "travel", "T3": "weight gradients", "T4": "loss, nats, 100 steps"}
ERRORS = {"T1": 2e-15, "T2": 7e-15, "T3": 8e-7, "T4": 3e-7}
CAUSE = "equal elements of a window share the gradient"
DIAGNOSIS = Diagnosis(spec="LeNet-5", layer="max_pool1", quantity="gradient by its input", cause=CAUSE)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Config]:
    """The reference and two others, which a report must not import."""
    for name in ("numpy", "alpha", "beta"):
        source = "runs_on = ('cpu', 'gpu')\nraise RuntimeError('a report imports no backend')\n"
        write_text(tmp_path / "backends" / name / "backend.py", source)
    write_text(tmp_path / "config.yaml", CONFIG.format(root=tmp_path))
    monkeypatch.chdir(tmp_path)
    discovery.plugins.cache_clear()
    yield load(tmp_path / "config.yaml")
    discovery.plugins.cache_clear()


KINDS = {"float64": "travel"}
"""{curve: its file}; the others are in `band`."""


def certificate(backend: str, name: str, **changes: object) -> Certificate:
    """One in step."""
    whole = {
        "backend": backend,
        "device": "cpu",
        "threads": 2,
        "dtypes": ["float32", "float64"],
        "tiers": list(FILES[name]),
        "checks": CHECKS[name](backend),
        "curves": [curve for curve in curves(backend) if name == KINDS.get(curve.label, "band")],
        "pairs": pairs() if name == "seeds" and backend != "numpy" else [],
        "environment": {"flag": "on"},
        "versions": {backend: "1.2"},
        "hash": "h",
        "made": "2026-01-02T03:04:05+00:00",
        "seconds": 40.8,
    }
    return Certificate.model_validate(whole | changes)


def check(
    tier: str,
    quantity: str,
    measured: float | None = None,
    limit: float | None = None,
    verdict: Verdict = "in step",
    note: str = "",
) -> Check:
    return Check(tier=tier, quantity=quantity, measured=measured, limit=limit, verdict=verdict, note=note)


def quick(backend: str) -> list[Check]:
    zero = 0.0 if backend == "numpy" else 1.0
    left = "work left after synchronize"
    bits = [
        check("T0", "two processes, 20 steps", note=f"the same bits, SHA-256 {SHA}"),
        check("T0", "1 against 2 threads", verdict="reported", note="other bits"),
        check("T0", left, 0.0125, 0.1, note="asynchronous: 97 % is left when train_steps returns"),
    ]
    numbers = [check(t, QUANTITIES[t], zero * ERRORS[t], limit) for t, limit in LIMITS.items()]
    return bits + numbers


def travel(backend: str) -> list[Check]:
    if backend == "numpy":
        return [check("T5", "the reference itself", verdict="reported")]
    return [check("T5", "travel in float64, 500 steps", 1.7e-15, 1e-12)]


def band(backend: str) -> list[Check]:
    ends = {curve.label: curve.travel[-1] for curve in curves(backend)}
    smooth = "travel in float32, 500 steps, smooth network"
    return [
        check("T8", "travel in float32, 500 steps", ends["float32"], 0.24),
        check("T8", smooth, ends["float32, smooth network"], verdict="reported"),
    ]


def curves(backend: str) -> list[Curve]:
    scale = {"numpy": 0.5, "alpha": 1.0, "beta": 1.2}[backend]
    exact = {"alpha": [8e-15, 2e-15, 1.7e-15], "beta": [0.0, 0.0, 0.0]}
    lines = {
        **({"float64": exact[backend]} if backend in exact else {}),
        "float32": [1e-5, 4e-6, scale * 0.1],
        "float32, smooth network": [1e-5, 2e-6, scale * 2e-6],
        "one ulp, 1": [1e-6, 5e-7, 0.06],
        "one ulp, 2": [2e-6, 6e-7, 0.08],
    }
    return [Curve(label=label, steps=STEPS, travel=line) for label, line in lines.items()]


def seeds(backend: str) -> list[Check]:
    if backend == "numpy":
        return [check("T6", "the reference itself", verdict="reported")]
    note = "8 pairs, 90 % interval -0.05 to +0.1 points, p 0.0012; needed: 8 pairs"
    return [
        check("T6", "accuracy, points, mean difference", 0.025, 0.2, note=note),
        check("T6", "cross-entropy, nats, mean difference", -1e-4, 0.002, note=note),
    ]


def attacks(backend: str) -> list[Check]:
    if backend == "numpy":
        return [check("T7", "the reference itself", verdict="reported")]
    return [
        check("T7", "share of gradient signs that differ", 0.002, 0.01),
        check("T7", "share of FGSM images that differ", 0.0, 0.03),
        check("T7", "share of PGD-40 images that differ", 0.01, 0.03),
    ]


CHECKS = {"quick": quick, "travel": travel, "seeds": seeds, "attacks": attacks, "band": band}


def pairs() -> list[Pair]:
    """The backend is ahead three times, behind twice, by 0.1 points, and once ahead by 0.3."""
    points = [0.001, 0.001, -0.001, 0.0, 0.0, 0.003, -0.001, 0.0]
    return [
        Pair(seed=seed, accuracy=(0.96, 0.96 + far), cross_entropy=(0.14, 0.141), churn=0.002)
        for seed, far in enumerate(points)
    ]


def save(config: Config, *certificates: Certificate) -> None:
    """Each in the file that its tiers belong to; up to date, unless it has a hash of its own."""
    for made in certificates:
        name = next(name for name, tiers in FILES.items() if set(made.tiers) & set(tiers))
        current = of_certificate(config, made.backend, made.device, name).current
        saved = made.model_copy(update={"hash": current}) if made.hash == "h" else made
        write(config.certificate(made.backend, made.device, name), [saved])


def save_all(config: Config, **changed: list[Certificate]) -> None:
    """Everything in step, but for the certificates of some backend."""
    for backend in config.backends:
        save(config, *changed.get(backend, [certificate(backend, name) for name in FILES]))


class Page:
    """A page as it is read: its words, and the cells of its tables."""

    def __init__(self, path: Path) -> None:
        self.source = path.read_text()
        self.words = readable(self.source)
        rows = re.findall(r"<tr>(.*?)</tr>", self.source, re.DOTALL)
        self.rows = [
            [readable(cell) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.DOTALL)]
            for row in rows
        ]

    def having(self, *first: str) -> list[list[str]]:
        """The rows that start with these cells, without those."""
        return [row[len(first) :] for row in self.rows if row[: len(first)] == list(first)]

    def verdicts(self, backend: str) -> list[str]:
        """Of the overview, which is the first table."""
        return self.having(backend)[0]


def readable(html: str) -> str:
    without = re.sub(r"<(style|svg)\b.*?</\1>", "", html, flags=re.DOTALL)
    without = re.sub(r"<br>", " ", without)
    return " ".join(unescape(re.sub(r"<[^>]*>", "", without)).split())


def page(config: Config) -> Page:
    return Page(build(runs.read(config)).parent / "conformance.html")


def finding(config: Config) -> Finding:
    return same_run(runs.read(config), read_all(config))


def one(config: Config, backend: str) -> Certified:
    return next(each for each in read_all(config) if each.side.backend == backend)


def shown(config: Config) -> str:
    out = StringIO()
    summary.show(runs.read(config), Console(file=out, width=250))
    return out.getvalue()


def test_in_step(config: Config):
    save_all(config)
    made = page(config)
    assert made.rows[0] == ["backend", *TIERS]
    assert made.verdicts("numpy") == ["in step"] * 5 + ["the reference"] * 3 + ["in step"]
    assert made.verdicts("alpha") == made.verdicts("beta") == ["in step"] * 9
    assert made.having("T1", "logits") == [
        ["0", "1e-12", "in step", ""],
        ["2e-15", "1e-12", "in step", ""],
        ["2e-15", "1e-12", "in step", ""],
    ]
    assert 'class="verdict good">in step<' in made.source
    assert 'class="alert"' not in made.source
    assert finding(config).answer == "Yes, to 7e-15 in float64: 2 of 2 backends are in step with numpy."
    assert "alpha: in step in T0–T8\n" in shown(config)


def test_limits_are_those_of_the_certificates(config: Config):
    save_all(config)
    limits = {row[0]: row[2] for row in page(config).rows if row[0] in TIERS and len(row) == 3}
    assert limits["T0"] == "work left after synchronize: 0.1"  # the other two have none
    assert (limits["T1"], limits["T3"], limits["T4"]) == ("1e-12", "1e-5", "2e-6")
    assert limits["T7"] == (
        "share of gradient signs that differ: 0.01; share of FGSM images that differ: 0.03; "
        "share of PGD-40 images that differ: 0.03"
    )
    assert limits["T5"] == "travel in float64, 500 steps: 1e-12"
    assert limits["T8"] == "travel in float32, 500 steps: 0.24"


def test_the_opening_is_computed_from_the_certificates(config: Config):
    save_all(config)
    words = page(config).words
    assert "all 3 backends compute the same run. Outputs" in words
    assert "at most 7e-15 from the reference's, relative to their size (limit 1e-12)" in words
    assert "After 500 training steps the weights are still within 1.7e-15" in words
    assert "Before training that is all: at most 8e-7 (limit 1e-5)" in words
    assert "After 500 steps the backends' weights are 0.05 to 0.12 from the reference's" in words
    assert "the reference is 0.06 to 0.08 from itself if one single weight" in words
    assert "So beta, the farthest, is 1.5 times as far as one bit takes it" in words
    assert "float32 runs are at most 2.4e-6 from the reference's after 500 steps" in words
    assert "In 16 pairs of runs from one seed, the backend is ahead of the reference 6 times" in words
    assert (
        "behind it 4 times; 6 are equal. The largest difference is 0.3 points, which is 3 of 1,000" in words
    )
    assert "within 0.2 points of zero for alpha and beta (two one-sided tests)" in words
    assert "may differ by 0.1 points, as is typical here, and yet be equal" in words


def test_tiers_that_were_not_measured_leave_no_number_behind(config: Config):
    save(config, *(certificate(backend, "quick") for backend in config.backends))
    made = page(config)
    assert "at most 7e-15 from the reference's" in made.words
    assert "How far it grows was not measured (T8)" in made.words
    assert "Accuracies of single runs were not compared (T6)" in made.words
    assert "may differ a little and yet be equal" in made.words
    assert "No long run was measured" in made.words
    assert made.verdicts("beta") == ["in step"] * 5 + ["not measured"] * 4
    assert not (config.reports / "figures/divergence.svg").exists()


def test_out_of_step_is_prominent_with_its_diagnosis(config: Config):
    wrong = [c.model_copy(update={"measured": 0.14, "verdict": "out of step"}) if c.tier == "T1" else c
             for c in quick("alpha")]  # fmt: skip
    save_all(config, alpha=[certificate("alpha", "quick", checks=wrong, diagnosis=DIAGNOSIS)])
    made = page(config)
    assert made.verdicts("alpha")[:3] == ["in step", "out of step", "in step"]
    alert = made.source[made.source.index('<div class="alert">') :].split("</div>")[0]
    assert "alpha: out of step." in alert
    assert "gradient by its input of max_pool1" in alert
    assert CAUSE in alert
    assert ["0.14", "1e-12", "out of step", ""] in made.having("T1", "logits")
    assert "2 of 3 backends compute the same run; alpha does not." in made.words
    assert "at most 7e-15 from the reference's" in made.words  # of those in step
    assert "That is no excuse for alpha" in made.words
    opened = re.findall(r"<details open>\s*<summary>([^<]*)", made.source)
    assert opened == ["alpha: out of step in T1; in step in T0, T2–T4"]
    assert finding(config).answer == "No: alpha is out of step in T1 (max_pool1, gradient by its input)."
    assert f"likeliest cause: {CAUSE}" in shown(config)


def test_out_of_step_without_a_diagnosis_names_the_check(config: Config):
    late = [c.model_copy(update={"measured": 0.9, "verdict": "out of step"}) if c.limit == 0.24 else c
            for c in band("beta")]  # fmt: skip
    save_all(config, beta=[certificate("beta", "quick"), certificate("beta", "band", checks=late)])
    assert "First: T8, travel in float32, 500 steps." in page(config).words
    assert finding(config).answer == "No: beta is out of step in T8 (travel in float32, 500 steps)."


def test_the_card_of_the_summary_is_marked_by_the_certificates(config: Config):
    def card() -> Card:
        results = runs.read(config)
        return agree.card(results, read_all(config), tables.build(results)["differences"])

    assert (card().tone, card().answer) == ("unsure", "Not measured yet.")
    save_all(config)
    assert (card().tone, card().answer) == ("good", finding(config).answer)
    assert card().grid.groups[0].rows[0] == (
        "float64: largest distance from numpy",
        "7e-15",
        "limit 1e-12",
        "2 backends",
    )
    unsure = [check.model_copy(update={"verdict": "cannot tell"}) for check in seeds("beta")]
    save(config, certificate("beta", "seeds", checks=unsure))
    assert card().tone == "unsure"
    stopped = check("T0", "vjp", verdict="not yet")
    save(config, certificate("beta", "quick", checks=[stopped]))
    assert card().tone == "bad"


def test_not_yet(config: Config):
    stopped = check("T0", "vjp", verdict="not yet", note="vjp is not written yet")
    save_all(config, beta=[certificate("beta", "quick", checks=[stopped])])
    made = page(config)
    assert made.verdicts("beta") == ["not yet"] + ["not measured"] * 8
    assert "beta, T1–T4: not reached: a check before it failed" in made.words
    assert "beta: not yet. First: T0, vjp: vjp is not written yet." in made.words
    assert finding(config).answer == "Not yet: beta is not finished in T0 (vjp)."


def test_cannot_tell_is_no_equality(config: Config):
    unsure = [check.model_copy(update={"verdict": "cannot tell"}) for check in seeds("beta")]
    others = [certificate("beta", name) for name in FILES if name != "seeds"]
    save_all(config, beta=[*others, certificate("beta", "seeds", checks=unsure)])
    made = page(config)
    assert made.verdicts("beta")[-3:] == ["cannot tell", "in step", "in step"]
    assert 'class="verdict unsure">cannot tell<' in made.source
    assert (
        "of zero for alpha (two one-sided tests); it is not known well enough for beta: we cannot"
        in made.words
    )
    assert "The mean is shown to lie within it for alpha." in made.words
    assert finding(config).answer.startswith("Yes, to 7e-15 in float64: 2 of 2")
    assert finding(config).details[0] == "Something cannot be told yet for beta."


def test_float32_only(config: Config):
    config = replace(config, backends=("beta",), devices=("gpu",))
    note = "gpu has no float64: this certificate covers float32 only"
    none = [check(tier, "float64", verdict="reported", note=note) for tier in ("T1", "T2")]
    checks = sorted([c for c in quick("beta") if c.tier not in ("T1", "T2")] + none, key=lambda c: c.tier)
    save(config, certificate("beta", "quick", device="gpu", dtypes=["float32"], checks=checks))
    made = page(config)
    assert made.verdicts("beta (float32 only)")[:4] == ["in step", "float32 only", "float32 only", "in step"]
    assert "In float64 no backend was measured" in made.words
    assert "compute the same run. Outputs" not in made.words
    assert finding(config).answer == "Yes, to 8e-7 in float32: 1 of 1 backend is in step with numpy."


def test_less_precise_arithmetic_is_told_apart(config: Config):
    """Its limits are wider, and its distances are not those of float32."""
    for backend in ("alpha", "beta"):
        save(config, certificate(backend, "quick", checks=quick(backend)))
    checks = [check("T3", QUANTITIES["T3"], 0.09, 0.6)]
    rough = certificate("beta", "quick", dtypes=["float32"], precision="bf16", checks=checks)
    save(config, rough)
    made = page(config)
    assert made.verdicts("beta (in bf16)")[3] == "in step"
    assert "0.09" not in finding(config).answer
    assert finding(config).answer.endswith(
        "1 of 2 backends is in step with numpy, 1 in less precise arithmetic."
    )
    assert "limits are as much wider as its rounding is" in finding(config).details[0]
    assert "limit 0.6" not in made.words


def test_nothing_measured(config: Config):
    made = page(config)
    for backend in config.backends:
        assert made.verdicts(backend) == ["not measured"] * 9
        assert f"{backend}, T0–T8: not measured yet: run snakemake" in made.words
    assert finding(config).answer == "Not measured yet."
    assert "beta: not measured; T0–T8: not measured yet: run snakemake" in shown(config)


def test_tiers_that_nobody_asked_for(config: Config):
    asked = config.conformance.model_copy(update={"tiers": ["T1"]})
    config = replace(config, conformance=asked)
    save(
        config,
        certificate("alpha", "quick", tiers=["T1"], checks=[c for c in quick("alpha") if c.tier == "T1"]),
    )
    made = page(config)
    assert made.verdicts("alpha") == ["not asked for", "in step"] + ["not asked for"] * 7
    assert made.verdicts("beta")[:2] == ["not asked for", "not measured"]
    assert (
        finding(config).answer
        == "Yes, to 2e-15 in float64: 1 of 2 backends is in step with numpy, 1 not measured."
    )


def test_not_installed(config: Config):
    write_text(Path("backends/beta/requirements.txt"), "no-such-distribution\n")
    save(config, certificate("alpha", "quick"))
    words = page(config).words
    assert "beta, T0–T8: not installed: no-such-distribution" in words
    assert "alpha, T5–T8: not measured yet: run snakemake" in words


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema": 1, "certificates": []}', "\x00", None])
def test_a_damaged_file_costs_its_tiers(config: Config, content: str | None):
    save_all(config)
    path = config.certificate("beta", "cpu", "travel")
    path.write_text(config.certificate("alpha", "cpu", "travel").read_text() if content is None else content)
    beta = one(config, "beta")
    assert [beta.verdict(tier) for tier in TIERS] == ["in step"] * 5 + ["not measured"] + ["in step"] * 3
    assert re.fullmatch(rf"damaged: .+; delete {path} and run snakemake", beta.absent["T5"])
    assert one(config, "alpha").absent == {}


def test_a_damaged_file_is_a_line_of_the_page(config: Config):
    save_all(config)
    config.certificate("beta", "cpu", "travel").write_text('{"schema": 1, "certificates": []}')
    made = page(config)
    assert made.verdicts("beta") == ["in step"] * 5 + ["not measured"] + ["in step"] * 3
    assert "beta, T5: damaged: it holds no certificate of beta on cpu; delete" in made.words
    assert "How far it grows was not measured" not in made.words  # the others' files are sound


def test_curves_that_do_not_fit_each_other_are_damage(config: Config):
    save_all(config)
    short = Curve(label="one ulp, 1", steps=[1], travel=[0.1])
    save(config, certificate("beta", "band", curves=[*curves("beta"), short]))
    assert "damaged" in one(config, "beta").absent["T8"]


def test_other_steps_and_pairs_are_another_configuration(config: Config):
    save_all(config)
    fewer = config.conformance.model_copy(update={"steps": 10, "pairs": 2})
    absent = one(replace(config, conformance=fewer), "beta").absent
    assert absent == {
        "T5": "measured with 500 steps, not the config's 10: run snakemake again",
        "T6": "measured with 8 pairs, not the config's 2: run snakemake again",
        "T8": "measured with 500 steps, not the config's 10: run snakemake again",
    }
    assert one(config, "beta").absent == {}


def test_divergence_says_what_it_shows(config: Config):
    save_all(config)
    made = page(config)
    label = re.search(r'role="img" aria-label="(Travel error[^"]*)"', made.source)
    assert label
    ending = (
        "after 500 steps it is 0 to 1.7e-15 in float64, 1e-6 to 2.4e-6 in float32, smooth network, "
        "0.05 to 0.12 in float32 and 0.06 to 0.08 for the reference against itself with one weight moved by "
        "one ulp."
    )
    assert label[1].endswith(ending)
    assert ending in made.words
    assert "An error of exactly 0 has no line: beta." in made.words
    drawn = (config.reports / "figures/divergence.svg").read_text()
    for part in ("limit in float64: 1e-12", "alpha", "beta", "float32, smooth network", "moved by one ulp"):
        assert part in drawn


@pytest.mark.filterwarnings("error")
def test_the_default_has_long_runs_in_float64_and_no_band(config: Config):
    save(config, *(certificate(backend, name) for backend in config.backends for name in ("quick", "travel")))
    made = page(config)
    assert "After 500 training steps the weights are still within 1.7e-15" in made.words
    assert "How far it grows was not measured (T8)" in made.words
    drawn = (config.reports / "figures/divergence.svg").read_text()
    assert "limit in float64: 1e-12" in drawn
    assert "moved by one ulp" not in drawn


def test_averages_over_seeds(config: Config):
    save_all(config)
    made = page(config)
    note = "8 pairs, 90 % interval -0.05 to +0.1 points, p 0.0012; needed: 8 pairs"
    assert made.having("alpha", "accuracy, points, mean difference") == [["+0.025", "±0.2", "in step", note]]
    entropy = made.having("alpha", "cross-entropy, nats, mean difference")
    assert entropy == [["−1e-4", "±0.002", "in step", note]]
    drawn = (config.reports / "figures/margins.svg").read_text()
    assert "alpha" in drawn
    assert "numpy" not in drawn  # it has no pairs


def test_bits_and_what_may_change_them(config: Config):
    save_all(config)
    made = page(config)
    head = ["two processes, 20 steps", "1 against 2 threads", "work left after synchronize", ""]
    assert head in made.having("backend")
    assert [
        f"in step the same bits, SHA-256 {SHA}",
        "other bits",
        "in step 1.25 % asynchronous: 97 % is left when train_steps returns",
        "",
    ] in made.having("alpha")
    assert ["T0–T8", "2 threads, alpha 1.2, flag on"] in made.having("alpha")


def test_files_of_several_machines_are_told_apart(config: Config):
    save_all(config)
    save(config, certificate("alpha", "seeds", environment={"flag": "off"}))
    rows = page(config).having("alpha")
    assert ["T0–T5, T7–T8", "2 threads, alpha 1.2, flag on"] in rows
    assert ["T6", "2 threads, alpha 1.2, flag off"] in rows


def test_the_two_pages_are_linked(config: Config):
    save_all(config)
    made = page(config)
    index = (config.reports / "index.html").read_text()
    assert 'href="conformance.html"' in index
    assert 'href="index.html"' in made.source
    assert finding(config).answer in index
    for reference in re.findall(r'href="([^"]+)"', made.source):
        if reference.startswith("#"):
            assert f'id="{reference[1:]}"' in made.source
        elif not reference.startswith("data:"):
            assert (config.reports / reference).is_file(), reference


def test_a_certificate_of_other_source_is_marked(config: Config):
    save_all(config, alpha=[certificate("alpha", name, hash="another") for name in FILES])
    outdated = "stale: of other source, versions, data or settings than are here now; snakemake makes it anew"
    assert f"alpha: in step in T0–T8; T0–T8: {outdated}\n" in shown(config)
    assert f"T0–T8: {outdated}" in page(config).words
    assert "stale:" not in shown(replace(config, bundle="a bundle of another machine"))


def test_other_programs_texts_are_no_markup(config: Config):
    stopped = check("T0", "<call>", verdict="out of step", note="<b> & more")
    save(config, certificate("alpha", "quick", checks=[stopped], environment={"flag": "<on>"}))
    made = page(config)
    assert "<call>" not in made.source
    assert "<on>" not in made.source
    assert "&lt;b&gt; &amp; more" in made.source


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, "0"),
        (1e-12, "1e-12"),
        (1.94e-15, "1.9e-15"),
        (9.96e-7, "1e-6"),
        (0.0794, "0.079"),
        (-1e-4, "−1e-4"),
    ],
)
def test_scientific(value: float, expected: str):
    assert text.scientific(value) == expected


def test_tiers_as_ranges():
    assert text.tiers(["T0", "T1", "T2", "T5"]) == "T0–T2, T5"
