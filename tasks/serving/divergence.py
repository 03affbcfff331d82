"""How far what is scored has moved from what was trained on: PSI, KS, and a verdict.

Both are worked out from counts in bins.  Bins that are empty on both sides are left out.
"""

from __future__ import annotations

import math
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

SOME_SHIFT, SHIFTED = 0.1, 0.25
"""Where the PSI is said to mean something: a convention of credit scoring, no test.

N. Siddiqi, Credit Risk Scorecards (Wiley, 2006): below 0.1 no, up to 0.25 some, above it a
significant change.
"""

TOO_FEW = "too few rows to say"

_RARELY = 3.0902
"""The 99.9 % point of the normal distribution: what is above it is chance once in a thousand."""


def psi(before: Sequence[int], now: Sequence[int]) -> float:
    """Return the population stability index of two counts in the same bins, 0 or more.

    It is the sum over the bins of (q - p) ln(q / p), p and q being the shares before and now: the
    divergence of H. Jeffreys, An invariant form for the prior probability in estimation problems,
    Proceedings of the Royal Society A 186 (1946), as credit scoring has it.  An empty bin would
    make it infinite.  So each bin before has half a value more, and the bins now share one value
    more among them as those before do; of many rows this changes nothing.
    """
    used = [(old, new) for old, new in zip(before, now, strict=True) if old or new]
    all_before, all_now = (sum(counts) for counts in zip(*used, strict=True)) if used else (0, 0)
    found = 0.0
    for old, new in used:
        p = (old + 0.5) / (all_before + 0.5 * len(used))
        q = (new + p) / (all_now + 1)
        found += (q - p) * math.log(q / p)
    return found


def ks(before: Sequence[int], now: Sequence[int]) -> float | None:
    """Return the Kolmogorov-Smirnov distance of two counts in the same bins, from 0 to 1.

    It is the largest distance between the shares up to each edge (N. Smirnov, Table for estimating
    the goodness of fit of empirical distributions, Annals of Mathematical Statistics 19 (1948)).
    Between edges it may be larger, which bins cannot tell.  None where a side is empty.
    """
    all_before, all_now = sum(before), sum(now)
    if not all_before or not all_now:
        return None
    below = zip(accumulate(before), accumulate(now), strict=True)
    return max(abs(old / all_before - new / all_now) for old, new in below)


def is_enough(before: Sequence[int], now: Sequence[int]) -> bool:
    """Return whether so many values can tell a shift from chance.

    Where nothing has shifted the PSI is, of many values, (1/n + 1/m) times a chi-square of one
    degree of freedom less than there are bins (B. Yurdakul and J. Naranjo, Statistical properties
    of the population stability index, Journal of Risk Model Validation 14 (2020)).  It is to be
    below 0.1 then but once in a thousand.
    """
    bins = sum(1 for old, new in zip(before, now, strict=True) if old or new)
    counts = sum(before), sum(now)
    return 0 not in counts and sum(1 / n for n in counts) * rare_chi_square(bins - 1) <= SOME_SHIFT


def rare_chi_square(freedom: int) -> float:
    """Return what a chi-square of so many degrees of freedom exceeds once in a thousand.

    E. B. Wilson and M. M. Hilferty, The distribution of chi-square, Proceedings of the National
    Academy of Sciences 17 (1931); 3 % off at most from 1 degree of freedom on, at least one counts.
    """
    some = max(freedom, 1)
    part = 2 / (9 * some)
    return some * (1 - part + _RARELY * math.sqrt(part)) ** 3


def verdict(found: float | None) -> str:
    """Return what the convention calls a PSI; None is one that could not be told."""
    if found is None:
        return TOO_FEW
    return "stable" if found < SOME_SHIFT else "some shift" if found < SHIFTED else "shifted"
