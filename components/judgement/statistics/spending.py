"""At which levels a question is asked again, so that all answers together err as rarely as one.

A *level* is the probability of a false push that one test may have: 1 - confidence. Two things use
it up if nothing is done. The same question is asked again of more examples, as the report advises
(a *look*); and a new model is judged every night. Nothing but the levels is decided here: pure
arithmetic, no data.
"""

import math


def look_level(alpha: float, look: int) -> float:
    """Returns the level of one look at a question whose looks share a level.

    alpha / (look (look + 1)) adds up to alpha over endlessly many looks, so that by Bonferroni's
    inequality any false push among them has at most the probability alpha, whatever is looked at,
    and whenever anybody stops or goes on. Neither the number of looks nor their sizes need be known
    beforehand, as they must for the boundaries of group-sequential trials (Lan and DeMets 1983,
    Biometrika 70:659).

    Args:
        alpha: The level of all looks together, above 0 and below 1.
        look: Which look it is, from 1.

    Raises:
        ValueError: An argument is out of range.

    Example:
        The first look has half, and a hundred looks have not used it up:

        >>> [round(look_level(0.05, look), 4) for look in (1, 2, 3)]
        [0.025, 0.0083, 0.0042]
        >>> sum(look_level(0.05, look) for look in range(1, 101)) < 0.05
        True
    """
    _check_level("alpha", alpha)
    if look < 1:
        raise ValueError(f"expected a look of 1 or more, received {look}")
    return alpha / (look * (look + 1))


def night_level(budget: float, over: int, previous: float, was_blessed: bool) -> float:
    """Returns the level of the next retrain that is judged within a budget of false pushes.

    The fallback procedure: each of `over` retrains has an equal share of the budget, and one that
    was blessed hands its level on to the next. The chance of any false push among them is at most
    the budget, however the data of one night depends on that of another (Wiens 2003, Pharmaceutical
    Statistics 2:211; Wiens and Dmitrienko 2005, Journal of Biopharmaceutical Statistics 15:929; one
    retrain after another: Tian and Ramdas 2021, Statistical Methods in Medical Research 30:976).
    The reason: before the first false push, levels come from blessings that were right only, so
    that no share of the budget is ever at risk twice.

    Args:
        budget: The most that the probability of any false push may be, above 0 and below 1.
        over: In how many judged retrains, 1 or more. Those that are refused count too. After so
            many a new period begins, with a `previous` of 0.
        previous: The level of the retrain before; 0 if there was none.
        was_blessed: Whether that one was blessed at its level.

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> first = night_level(0.05, 100, 0.0, False)
        >>> second = night_level(0.05, 100, first, True)
        >>> third = night_level(0.05, 100, second, False)
        >>> first, second, third
        (0.0005, 0.001, 0.0005)
    """
    _check_level("budget", budget)
    if over < 1:
        raise ValueError(f"expected a budget over 1 retrain or more, received {over}")
    if not 0 <= previous < 1:
        raise ValueError(f"expected a previous level of 0 to 1, received {previous}")
    return budget / over + (previous if was_blessed else 0.0)


def _check_level(name: str, level: float) -> None:
    if not (math.isfinite(level) and 0 < level < 1):
        raise ValueError(f"expected {name} above 0 and below 1, received {level}")
