"""The model that was pushed last, as the reference of rules with `against: pushed`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from tfx_tflite.components.artifact_layout import MODEL_FILE
from tfx_tflite.components.destinations.destination import Destination, Trust
from tfx_tflite.components.destinations.settings import DEFAULT_TIMEOUT
from tfx_tflite.components.digests import bytes_digest
from tfx_tflite.components.errors import (
    DestinationError,
    EvaluationError,
    ModelError,
    NotKnownError,
    listed,
)
from tfx_tflite.components.examples.tensors import format_shape
from tfx_tflite.components.judgement.gate import Gate, MetricRule
from tfx_tflite.components.judgement.judging import GateResult
from tfx_tflite.components.models.float_model import Signature
from tfx_tflite.components.models.tflite_model import TFLiteModel
from tfx_tflite.components.presence import ABSENT, Absence, Presence
from tfx_tflite.components.verdict import OVERALL, MetricValues, RuleResult, Verdict
from tfx_tflite.components.versions import Kernels

# What is to be done if the new model cannot be compared with it.
REMEDY = "leave out the rules with against: pushed for one push"


@dataclass(frozen=True)
class PushedReference:
    """The current version at a destination.

    Attributes:
        number: Its number.
        uri: Where it is.
        digest: The model's.
        content: The model.
    """

    number: int
    uri: str
    digest: str
    content: bytes

    @classmethod
    def at(
        cls,
        destination: str,
        expected: int | None = None,
        trust: Trust | None = None,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> "Presence[PushedReference]":
        """Returns the current version at a destination; ABSENT only if nothing was pushed.

        Args:
            destination: A path or URI.
            expected: Which version it must be, 0 for none; None takes whichever it is.
            trust: Whose signature it must have.
            timeout: Seconds until a store that does not answer is given up.

        Raises:
            EvaluationError: Another version than expected is current.
            DestinationError: There is a version, but it is not what was pushed.
            NotKnownError: The destination cannot be read.
        """
        opened = Destination.open(destination, timeout, trust)
        number = opened.current()
        if number is None and opened.released():
            raise DestinationError(
                f"{opened.uri}: LATEST names a version that is not there, so there is nothing to "
                "compare with; roll back to one that is"
            )
        if expected not in (None, number or 0):
            raise EvaluationError(
                f"{opened.uri}: version {expected or 'none'} was current when the run began, and "
                f"{number or 'none'} is by now; run again"
            )
        if number is None:
            return ABSENT
        if problems := opened.current_problems(number):
            raise DestinationError(
                f"the pushed version {number} cannot be compared with: {problems[0]}; roll back to "
                "a whole one"
            )
        digest, content = opened.manifest(number).model.digest, opened.read(number, MODEL_FILE)
        if bytes_digest(content) != digest:
            # Others may write there, also between two looks.
            raise DestinationError(
                f"the pushed version {number} cannot be compared with: "
                f"{opened.path(number, MODEL_FILE)} was changed while it was read; run again"
            )
        return cls(number, opened.path(number), digest, content)

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"the pushed version {self.number} ({self.uri})"

    def check(
        self, signature: Signature, outputs: Sequence[str], kernels: Iterable[Kernels] = ()
    ) -> None:
        """Checks that the model takes and gives what today's does.

        Args:
            signature: Of today's float model.
            outputs: The outputs that are evaluated.
            kernels: Those of targets that must run it, too.

        Raises:
            EvaluationError: It does not.
        """
        model = TFLiteModel(self.content)
        where = self.name
        wanted = {spec.name: spec for spec in signature.inputs}
        if model.inputs.keys() != wanted.keys():
            raise _incomparable(where, listed(sorted(model.inputs)), listed(sorted(wanted)))
        for name, spec in wanted.items():
            info = model.inputs[name]
            found = info.signature_shape[1:]
            if not _fits(found, spec.example_shape):
                shape = f"{name!r} of shape {format_shape((None, *found))}"
                raise _incomparable(where, shape, format_shape(spec.shape))
            # An integer input that is only cast to float may have become a float one.
            if not info.is_quantized and info.dtype not in (spec.dtype, np.float32):
                raise _incomparable(where, f"{name!r} as {info.dtype}", f"as {spec.dtype}")
        for output in outputs:
            if output not in model.outputs:
                raise EvaluationError(
                    f"{where} has no output {output!r}; it has: {listed(sorted(model.outputs))}"
                )
        for each in kernels:
            _check_runs_on(where, self.content, each)


def _check_runs_on(pushed: str, content: bytes, kernels: Kernels) -> None:
    try:
        TFLiteModel(content, kernels)
    except ModelError as error:
        raise EvaluationError(
            f"{pushed} cannot be compared with on the target: {error}; {REMEDY}"
        ) from error


def _incomparable(pushed: str, takes: str, new: str) -> EvaluationError:
    return EvaluationError(
        f"{pushed} takes {takes}, but the new model {new}: they cannot be compared; {REMEDY}"
    )


def _fits(found: Sequence[int], wanted: Sequence[int | None]) -> bool:
    return len(found) == len(wanted) and all(
        size in (-1, other) or other is None for size, other in zip(found, wanted, strict=True)
    )


@dataclass(frozen=True)
class UnknownReference:
    """The current version of a destination that could not be looked at, or is damaged.

    Attributes:
        reason: Why it cannot be compared with.
    """

    reason: str


# What a look for the pushed model comes to.
Looked: TypeAlias = PushedReference | UnknownReference | Absence


def look(
    destination: str,
    expected: int | None = None,
    trust: Trust | None = None,
    timeout: float = DEFAULT_TIMEOUT,
) -> Looked:
    """Returns the reference at a destination, or that there is none, or that it is not known.

    Args:
        destination: A path or URI.
        expected: As that of `PushedReference.at`.
        trust: As that of `PushedReference.at`.
        timeout: As that of `PushedReference.at`.

    Raises:
        EvaluationError: Another version than expected is current.
    """
    try:
        return PushedReference.at(destination, expected, trust, timeout)
    except (NotKnownError, DestinationError) as error:
        return UnknownReference(str(error))


def without_reference(
    result: GateResult,
    gate: Gate,
    values: Sequence[MetricValues],
    looked: UnknownReference | Absence,
) -> GateResult:
    """Returns a verdict with the rules that had no model to compare with.

    Args:
        result: Of the rules against the float model.
        gate: The rules, of which those against the pushed one are meant.
        values: The metrics, for the quantized model's own.
        looked: Whether there is none, in which case the rules say what then, or it is not known,
            which leaves them undecided.
    """
    unjudged = [
        _unjudged(rule, result.examples, _overall(rule, values), looked)
        for rule in gate.against("pushed")
        if isinstance(rule, MetricRule)
    ]
    refusing = (rule.reason for rule in unjudged if rule.verdict is not Verdict.NOT_JUDGED)
    reasons = (*result.reasons, *refusing)
    return GateResult(
        verdict=Verdict.REFUSED if reasons else Verdict.BLESSED,
        examples=result.examples,
        rules=(*result.rules, *unjudged),
        reasons=reasons,
        tests=result.tests,
    )


def _unjudged(
    rule: MetricRule, examples: int, own_value: float, looked: UnknownReference | Absence
) -> RuleResult:
    verdict, reason = _without_figures(rule, looked)
    return RuleResult(
        metric=rule.metric,
        output=rule.output,
        slice=OVERALL,
        examples=examples,
        float_value=np.nan,
        quantized_value=own_value,
        drop=np.nan,
        bound=np.nan if rule.max_drop is None else rule.max_drop,
        confidence=rule.confidence,
        verdict=verdict,
        against="pushed",
        reason=reason,
    )


def _without_figures(rule: MetricRule, looked: UnknownReference | Absence) -> tuple[Verdict, str]:
    """Returns what a rule says that has no model to compare with, and why."""
    if isinstance(looked, UnknownReference):
        reason = f"{rule.metric} against the pushed model is undecided: {looked.reason}"
        return Verdict.UNDECIDED, reason
    if rule.when_nothing_pushed == "refuse":
        return Verdict.REFUSED, (
            f"{rule.metric}: nothing was pushed yet to compare with, and when_nothing_pushed is "
            "refuse"
        )
    return Verdict.NOT_JUDGED, (
        "nothing was pushed yet to compare with, and when_nothing_pushed is pass"
    )


def _overall(rule: MetricRule, values: Sequence[MetricValues]) -> float:
    """Returns the quantized model's figure that a rule is about, on all examples."""
    for value in values:
        is_meant = value.metric == rule.metric and rule.output in (None, value.output)
        if is_meant and value.slice == OVERALL:
            return value.quantized_value
    return float("nan")
