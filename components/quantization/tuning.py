"""What a search for a recipe tried and found: tuning.json, beside the recipe."""

import math
from typing import ClassVar, Literal

from tfx_tflite.components.documents import Document, Figure, Part
from tfx_tflite.components.quantization.culprit import Culprit
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.verdict import RuleResult, Verdict

FORMAT = 1
# In the order in which they are climbed; `quantization_tuner.ladder` says when. The last is none of
# a search: what it found, with a draw of the calibration examples.
Rung = Literal[
    "last recipe",
    "plain",
    "weights",
    "ranges",
    "rounded inputs",
    "equalization",
    "bias correction",
    "normalization",
    "16-bit activations",
    "float edges",
    "dynamic range",
    "float16",
    "draw",
]
# What came of it: the plain scheme holds, the recipe of before holds, a repair was found, or none.
Outcome = Literal["plain", "confirmed", "rescued", "not found"]
# A drop that is allowed to be none is exceeded by shares of this.
_LEAST_BOUND = 1e-3
# What stands for no limit, which JSON has no number for.
FAR = 1e9


def share_of_bound(rule: RuleResult) -> float:
    """Returns how far a drop is above its bound, as a share of the bound; negative below it.

    Args:
        rule: What a rule says. One that was not judged is met by far, one without a figure is
            missed by far.
    """
    if rule.verdict is Verdict.NOT_JUDGED:
        return -FAR
    if not math.isfinite(rule.drop):
        return FAR
    return min((rule.drop - rule.bound) / max(abs(rule.bound), _LEAST_BOUND), FAR)


class Tried(Part):
    """A candidate that was made and judged on the tuning examples.

    Attributes:
        rung: The rung that it is of.
        what: What was done, in words.
        recipe: How it was made; None of the float model with rounded inputs, which only shows what
            any int8 model loses.
        digest: Of the model's bytes; empty if it could not be made.
        size_bytes: Of its file.
        problem: Why it could not be made, or does not run; empty if it does.
        holds: Whether all rules that were judged hold, their figures compared as they are.
        is_sure: Whether they hold with confidence: the rule's own, or 90 %. A repair must, because
            the best of several on the same examples is more likely to be so by luck. The plain
            scheme and the recipe of before need not.
        excess: How far the drop of the worst rule is above its bound, as a share of the bound;
            negative if it is below. Infinite (null) without a figure.
        distance: The sum of squares of the differences of all outputs from the float model's, as a
            share of the sum of squares of the float outputs.
        rules: What each rule says.
        is_allowed: Whether the search may choose it; others show what would be possible.
        is_kept: Whether it was the best so far, so that the next rung stands on it.
        seconds: How long making and judging it took.
        latency_ms: The median of an inference on this machine; None if it was not measured, as for
            targets that this machine is not like.
        arena_bytes: The working memory that the first target's runtime takes; None if it was not
            measured.
    """

    rung: Rung
    what: str
    recipe: Recipe | None = None
    digest: str = ""
    size_bytes: int | None = None
    problem: str = ""
    holds: bool = False
    is_sure: bool = False
    excess: Figure = float("nan")
    distance: Figure = float("nan")
    rules: tuple[RuleResult, ...] = ()
    is_allowed: bool = True
    is_kept: bool = False
    seconds: float = 0.0
    latency_ms: float | None = None
    arena_bytes: int | None = None

    @property
    def worst_rule(self) -> RuleResult | None:
        """The rule that is missed by most, or met by least; None if none was judged."""
        judged = [rule for rule in self.rules if rule.verdict is not Verdict.NOT_JUDGED]
        return max(judged, key=share_of_bound, default=None)


class TuningReport(Document):
    """What a search for a recipe tried and found.

    Attributes:
        outcome: What came of it.
        chosen: The place of the chosen candidate among those that were tried.
        split: The split whose examples were judged on.
        examples: How many of them.
        examples_digest: Of their records in order.
        tried: The candidates, in order.
        evaluations: How many of them were judged.
        culprits: What the plain scheme loses its accuracy by, the worst first; none if the rules
            hold for it.
        notes: What else is to be said, a sentence each.
        possible: What would hold if not everything had to be integer; empty if nothing would, or
            if the chosen recipe holds.
    """

    kind: ClassVar[str] = "a tuning report"

    format: int = FORMAT
    outcome: Outcome
    chosen: int
    split: str
    examples: int
    examples_digest: str = ""
    tried: tuple[Tried, ...]
    evaluations: int
    culprits: tuple[Culprit, ...] = ()
    notes: tuple[str, ...] = ()
    possible: str = ""

    @property
    def choice(self) -> Tried:
        """The chosen candidate."""
        return self.tried[self.chosen]
