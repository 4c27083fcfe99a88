"""What came of a run: what `tfx-tflite run --json` prints, and what is kept beside its log."""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field

from tfx_tflite.components.destinations.manifest import JudgedTarget
from tfx_tflite.components.documents import Document, Figure, Part
from tfx_tflite.components.private_files import open_regular_file
from tfx_tflite.components.quantization.document import Bytes
from tfx_tflite.components.quantization.draws import DrawsReport
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.tuning import Outcome, TuningReport
from tfx_tflite.components.report.calibration_draws import figures_in_brief
from tfx_tflite.components.report.recipe_search import in_brief, recipe_in_brief
from tfx_tflite.components.verdict import RuleResult


class FoundRecipe(Part):
    """What a search for a recipe came to, or the recipe that was given.

    Attributes:
        scheme: Of the recipe; the one that comes closest if none holds.
        outcome: What came of it.
        evaluations: How many candidates were judged.
        what: What the recipe does, in words.
        possible: What would hold if not everything had to be integer; empty if nothing would, or
            if the recipe holds.
        notes: What else the search says, such as why no int8 model holds.
    """

    scheme: str | None = None
    outcome: Outcome | Literal["given"]
    evaluations: int
    what: str
    possible: str = ""
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        tuning: TuningReport | None,
        recipe: Recipe | None,
        draws: DrawsReport | None = None,
    ) -> "FoundRecipe | None":
        """Returns what a report says of a search or a recipe; None if a scheme says it all.

        Args:
            tuning: The search, if there was one.
            recipe: How the model was made.
            draws: The draws of which the recipe's was chosen, if there were several.
        """
        if tuning is None and (recipe is None or recipe.is_plain or draws is not None):
            return None
        if tuning is None:
            assert recipe is not None
            return cls(
                scheme=recipe.scheme.value,
                outcome="given",
                evaluations=0,
                what=recipe_in_brief(recipe),
            )
        choice = tuning.choice
        return cls(
            scheme=None if choice.recipe is None else choice.recipe.scheme.value,
            outcome=tuning.outcome,
            evaluations=tuning.evaluations,
            what=in_brief(choice),
            possible=tuning.possible,
            notes=tuning.notes,
        )

    def to_lines(self) -> tuple[str, ...]:
        """Returns the same as sentences for a terminal."""
        tried = f"{self.evaluations} candidate{'' if self.evaluations == 1 else 's'} tried"
        if self.outcome == "given":
            return (self.what,)
        if self.outcome == "plain":
            return (f"plain {self.what} holds, {tried}",)
        if self.outcome == "confirmed":
            return (f"{self.what}, as for the model before, {tried}",)
        if self.outcome == "rescued":
            return (f"{self.what}, {tried}",)
        closest = f"no recipe holds, {tried}; closest: {self.what}"
        return (closest, *self.notes, *filter(None, [self.possible]))


class TriedDraws(Part):
    """What several draws of calibration examples came to, on the tuning examples.

    Attributes:
        chosen: The draw in the middle, which was taken.
        drops: What the gate's first rule on a metric says of each draw, in the metric's unit; NaN
            (null) if it says nothing.
        spread: The largest drop minus the smallest one; None without drops.
        rule: What the drops are of.
        bound: The largest drop that it allows.
        holding: How many draws hold the rules.
        verdict: Whether that depends on the draw, in words.
        what: From what to what the drops go, in words.
    """

    chosen: int
    drops: tuple[Figure, ...]
    spread: float | None
    rule: str
    bound: Figure
    holding: int
    verdict: str
    what: str

    @classmethod
    def of(cls, draws: DrawsReport | None) -> "TriedDraws | None":
        """Returns what a report says of several draws; None if there was one."""
        if draws is None:
            return None
        return cls(
            chosen=draws.chosen,
            drops=tuple(draw.drop for draw in draws.draws),
            spread=draws.spread,
            rule=draws.rule,
            bound=draws.bound,
            holding=draws.holding,
            verdict=draws.verdict,
            what=figures_in_brief(draws),
        )

    def to_lines(self) -> tuple[str, ...]:
        """Returns the same as sentences for a terminal."""
        last = len(self.drops) - 1
        return (f"draw {self.chosen} is taken of 0 to {last}: {self.what}", self.verdict)


class RunResult(Document):
    """What came of a run; a field that only an evaluation gives is empty if there was none.

    Attributes:
        status: `pushed`, `refused` or `nothing_new`; `failed`, also if the push failed after the
            verdict.
        scheme: The config's; None if there is no config.
        examples: How many examples the verdict rests on.
        rules: What each rule says of each of its slices.
        reasons: Why the model was refused.
        next_steps: What to try then, what matters most first.
        targets: What was found on each target, if the config names any.
        recipe: What the search for a recipe came to; None if there was none.
        draws: What several draws of calibration examples came to; None of one.
        size_bytes: The sizes of both models.
        pushed_to: The directory of the pushed version; None if nothing was pushed.
        report: Where report.json is.
        page: Where the report's page is.
        warnings: What the user should know of though it is no failure.
        notes: What the run decided without anybody having said so.
        version: The number of the pushed version; None if nothing was pushed.
        waits_for_approval: Whether the pushed version is not current until somebody approves it.
        approve_command: What is typed to approve it; empty if it does not wait.
        push_note: What the Pusher has to say, which is among the reasons or the warnings, too.
    """

    kind = "the result of a run"

    status: Literal["pushed", "refused", "nothing_new", "failed"]
    scheme: str | None = None
    examples: int | None = None
    rules: tuple[RuleResult, ...] = ()
    reasons: tuple[str, ...] = ()
    next_steps: tuple[str, ...] = ()
    targets: tuple[JudgedTarget, ...] = ()
    recipe: FoundRecipe | None = None
    draws: TriedDraws | None = None
    size_bytes: Bytes = Bytes()
    pushed_to: str | None = None
    report: str | None = None
    page: str | None = None
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    version: int | None = None
    waits_for_approval: bool = False
    approve_command: str = ""
    push_note: str = Field(default="", exclude=True)

    @property
    def is_verdict(self) -> bool:
        """Whether the run came to a verdict, and acted on it."""
        return self.status in ("pushed", "refused")


def write_whole(document: Document, path: Path) -> None:
    """Writes a document, whole or not at all, as a run may be killed at any time.

    Its owner alone may read it.

    Raises:
        OSError: It cannot be written.
    """
    stage = path.with_suffix(".unfinished")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with os.fdopen(open_regular_file(stage, flags), "w", encoding="utf-8") as file:
        file.write(document.to_json())
    stage.replace(path)


class FailedAfterVerdict(Exception):
    """A run that failed when its model was judged already.

    Either the push failed, or a rule could not be decided.

    Args:
        failure: Why.
        result: What the verdict was, with the status `failed`.
    """

    def __init__(self, failure: Exception, result: RunResult):
        super().__init__(str(failure))
        self.failure = failure
        self.result = result
