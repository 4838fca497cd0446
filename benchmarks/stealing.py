"""How much of a green list leaks: every stealing attack on a synthetic Zipf model, by number of marked texts.

    python -m benchmarks.stealing                       # Unigram, one and three lists, V 50272, 1k / 2k / 10k texts; HiGHS times
    python -m benchmarks.stealing --oracle 10000        # the oracle setting up to so many texts (minutes at 10k)
    python -m benchmarks.stealing --contexts            # lefthash, minhash and selfhash as well (V 2000)

Published (single key, gamma 0.25, delta 2, z 4): vanilla programme on 10k sentences 755 tokens at precision .932; signed counts
above 2: 5,374 at .994, above 3: 2,213 at 1.000.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np

from watermark.attacks.stealing.audit import StealingExperiment, run_stealing
from watermark.attacks.stealing.report import Share, StealingReport
from watermark.attacks.stealing.truth import rule_of
from watermark.attacks.stealing.zipf import ZipfModel
from watermark.detection import DetectOptions
from watermark.families import Scheme, open_scheme

# z = 4, the threshold of the published runs, as a p-value.
ALPHA = 3.17e-5
KEY = 15485863


def fixed_lists(num_keys: int) -> Scheme:
    return open_scheme("unigram", {"vocab_size": 50272, "fraction": 0.25, "watermark_key": KEY, "num_keys": num_keys})


def context_lists(seeding: str) -> Scheme:
    config = {"vocab_size": 2000, "gamma": 0.25, "delta": 2.0, "seeding_scheme": seeding, "hash_key": KEY}
    return open_scheme("kgw-lm-extended", config)


def steal(
    label: str, scheme: Scheme, model: ZipfModel, attacks: list[str], budgets: list[int], length: int, judged: int
) -> StealingReport:
    """One report; writing the texts is timed apart."""
    rng, rule = np.random.default_rng(0), rule_of(scheme)
    start = time.perf_counter()
    marked = model.marked(budgets[-1] + judged, length, rng, rule, 2.0)
    natural = model.natural(budgets[-1] + judged, length, rng)
    print(f"\n{label}: {len(marked)} marked and natural texts of {length} tokens in {time.perf_counter() - start:.1f} s")
    experiment = StealingExperiment(
        label,
        attacks,
        budgets,
        judged,
        next_logits=model.next_logits,
        alternatives=model.synonyms_of,
        options=DetectOptions(alpha=ALPHA),
        time_limit=900,
    )
    return run_stealing(marked, natural, scheme, experiment)


def show(report: StealingReport) -> None:
    """The table of a report."""
    before = report.to_json()
    found = before["detected_before"]
    print(
        f"  detected before {found['hits']}/{found['trials']}, false alarms {before['false_alarms']['hits']}, perplexity: ",
        end="",
    )
    print(f"unmarked {_median(report.unforged_perplexity)}, marked {_median(report.held_out_perplexity)}")
    print("  texts  attack        N_g     N_t  precision [95 %]      own est.  seconds  edits  scrub  control  ppl   spoof  ppl")
    for trial in report.trials:
        if trial.failed:
            print(f"  {trial.budget:5}  {trial.attack:12}  {trial.failed}")
            continue
        precision, interval = trial.precision.rate or 0.0, trial.precision.interval or (0.0, 1.0)
        own = "   -" if trial.estimated_precision is None else f"{trial.estimated_precision:.3f}"
        edits = statistics.mean(trial.edits) / report.settings["median_tokens"]
        scrubbed, blind = (_rate(share(report.held_out, report.alpha)) for share in (trial.scrub, trial.scrub_control))
        print(
            f"  {trial.budget:5}  {trial.attack:12} {trial.called:6}  {trial.correct:6}  {precision:.3f} "
            f"[{interval[0]:.3f}, {interval[1]:.3f}]  {own:>6}  {trial.seconds:8.2f}  {edits:5.2f}  {scrubbed:>5}  {blind:>7}  "
            f"{_median(trial.scrubbed_perplexity):>4}  {_rate(trial.spoof(report.alpha)):>5}  "
            f"{_median(trial.spoofed_perplexity):>4}"
        )


def _rate(share: Share) -> str:
    return "-" if share.rate is None else f"{share.rate:.2f}"


def _median(values: tuple[float, ...]) -> str:
    return f"{statistics.median(values):.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, nargs="+", default=[1000, 2000, 10_000])
    parser.add_argument("--oracle", type=int, default=2000, help="run the oracle and pro settings up to so many texts")
    parser.add_argument("--judged", type=int, default=30)
    parser.add_argument("--contexts", action="store_true", help="context-dependent schemes as well")
    given = parser.parse_args()
    budgets = sorted(given.texts)
    for num_keys in (1, 3):
        quick = ["mip-vanilla", "mip-as2", "counts-2", "counts-3", "n-grams"]
        show(steal(f"Unigram, {num_keys} list(s)", fixed_lists(num_keys), ZipfModel(), quick, budgets, 200, given.judged))
        heavy = [budget for budget in budgets if budget <= given.oracle]
        if heavy:
            label = f"Unigram, {num_keys} list(s), detector in two stages or with its counts"
            show(steal(label, fixed_lists(num_keys), ZipfModel(), ["mip-oracle", "mip-pro"], heavy, 200, given.judged))
    if given.contexts:
        for seeding in ("lefthash", "minhash", "selfhash"):
            model = ZipfModel(vocab_size=2000, local=20)
            attacks = ["mip-vanilla", "counts-2", "n-grams"]
            show(steal(seeding, context_lists(seeding), model, attacks, budgets, 200, given.judged))


if __name__ == "__main__":
    main()
