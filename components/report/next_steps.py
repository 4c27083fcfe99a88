"""What to try after a refusal: a suggestion for each kind of rule that does not hold.

A suggestion says what was measured, and then what to do. It is made from the report alone, so that
reports of earlier releases have suggestions, too.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from tfx_tflite.components.judgement.gate import LIMITS
from tfx_tflite.components.quantization.document import Layer
from tfx_tflite.components.report.calibration_draws import advice
from tfx_tflite.components.report.document import Report, TargetReport
from tfx_tflite.components.report.memory_plot import fullest
from tfx_tflite.components.report.wording import (
    clip,
    count,
    counted,
    number,
    percent,
    words,
)
from tfx_tflite.components.verdict import OVERALL, RuleResult, Verdict

# From a report and its rules of one kind that do not hold to what to try.
_Suggestion: TypeAlias = Callable[[Report, Sequence[RuleResult]], str]

_INTEGER_SCHEMES = ("int8", "int8_float_io")
_CALIBRATED_SCHEMES = (*_INTEGER_SCHEMES, "int16x8")
# With fewer calibration examples no range policy can tell an outlier, see docs/calibration.md.
_FEW_CALIBRATION_EXAMPLES = 50
_USUAL_CALIBRATION_EXAMPLES = 200
# From which share of values outside the calibrated range the calibration examples are to blame.
_MANY_OUTSIDE = 0.001
# A layer below this is off by more than a tenth of its values.
_NOISY_DB = 20.0
_NAME_CHARACTERS = 60


def next_steps(report: Report) -> tuple[str, ...]:
    """Returns what to try next, what matters most first; nothing if the model was blessed."""
    if report.verdict is Verdict.BLESSED:
        return ()
    found: list[str] = []
    minimum = report.gate.min_examples
    known, what = _counted(report)
    if known is not None and minimum is not None and known < minimum:
        found.append(_too_few(known, what, minimum, report))
    by_kind: dict[str, list[RuleResult]] = {}
    for rule in report.rules:
        if rule.verdict in (Verdict.REFUSED, Verdict.UNDECIDED):
            by_kind.setdefault(kind_of(rule, report), []).append(rule)
    kinds = [kind for kind in SUGGESTIONS if kind in by_kind]
    for kind in kinds:
        if kind in _FAR_FROM_FLOAT:
            found += _search(report)
        found.append(SUGGESTIONS[kind](report, by_kind[kind]))
    if (_FAR_FROM_FLOAT | _UNDECIDED).intersection(kinds):
        found += _draws(report)
    if _FAR_FROM_FLOAT.intersection(kinds):
        found.append(_closer_to_float(report))
    return tuple(dict.fromkeys(found))


def kind_of(rule: RuleResult, report: Report) -> str:
    """Returns which row of `SUGGESTIONS` a rule that does not hold belongs to."""
    if rule.metric in _FIGURES:
        return rule.metric if math.isfinite(rule.quantized_value) else "figure not known"
    if rule.limit is not None:
        return _kind_of_value(rule)
    if rule.against == "pushed" and report.pushed_reference is None:
        return "pushed model not known" if report.pushed_problem is not None else "nothing pushed"
    if not (math.isfinite(rule.float_value) and math.isfinite(rule.quantized_value)):
        return "not finite"
    if rule.verdict is Verdict.UNDECIDED:
        return "undecided"
    if rule.against == "pushed":
        return "worse than the pushed model"
    return "drop" if rule.slice == OVERALL else "drop in slices"


def _kind_of_value(rule: RuleResult) -> str:
    """Returns the kind of a rule on the value of a metric."""
    if not math.isfinite(rule.quantized_value):
        return "not finite"
    if rule.verdict is Verdict.UNDECIDED:
        return "undecided value"
    # A bound below 0 is a float model that is beyond the limit itself.
    return "value of both models" if rule.bound < 0 else "value"


# --- Examples -------------------------------------------------------------------------------------


def _counted(report: Report) -> tuple[int | None, str]:
    """Returns how many there are of what counts as independent, and what one of these is called."""
    if report.grouped is None:
        return report.examples, "example"
    return report.grouped.groups, "group"


def _too_few(known: int, what: str, minimum: int, report: Report) -> str:
    split = f"split {report.evaluated.split}" if report.evaluated.split else "evaluated split"
    return (
        f"The {split} has {counted(known, what, f'{what}s')}, and gate.min_examples is "
        f"{count(minimum)}: give it {count(minimum - known)} more."
    )


def _undecided(report: Report, rules: Sequence[RuleResult]) -> str:
    hardest = max(rules, key=lambda rule: rule.more_examples or 0)
    _, what = hardest.counted
    where = f"{hardest.title} ({clip(hardest.slice, _NAME_CHARACTERS)})"
    if hardest.more_examples is None:
        return (
            f"{where} has a drop of {number(hardest.drop)}, and {number(hardest.bound)} is "
            f"allowed, which is so close that hardly any number of {what}s would settle it: allow "
            "a larger drop, or bring the model closer to float."
        )
    of_slice = "" if hardest.slice == OVERALL else " of that slice"
    others = f"{count(len(rules))} checks are undecided; of these " if len(rules) > 1 else ""
    needs = f"needs the most {what}s" if others else "is undecided"
    return (
        f"{others}{where} {needs}: evaluate on about {count(hardest.more_examples)} more {what}s"
        f"{of_slice}, or allow a larger drop than {number(hardest.bound)} if your use can bear it."
    )


def _undecided_value(report: Report, rules: Sequence[RuleResult]) -> str:
    hardest = max(rules, key=lambda rule: rule.more_examples or 0)
    said, (known, what) = _value(hardest), hardest.counted
    relax = f"or ask for {'less' if hardest.side == 'at least' else 'more'}"
    if hardest.more_examples is None:
        return (
            f"{said}, which is so close that hardly any number of {what}s would settle it: "
            f"improve the model, {relax}."
        )
    of_slice = "" if hardest.slice == OVERALL else " of that slice"
    return (
        f"{said}, and {counted(known, f'{what} does', f'{what}s do')} not show that: evaluate on "
        f"about {count(hardest.more_examples)} more {what}s{of_slice}, {relax}."
    )


# --- Metrics --------------------------------------------------------------------------------------


def _not_finite(report: Report, rules: Sequence[RuleResult]) -> str:
    first = rules[0]
    model = "quantized" if math.isfinite(first.float_value) else "float"
    return (
        f"{first.title} of the {model} model is no finite number: look at its outputs on the "
        "evaluated examples, and at labels that the metric has no value for."
    )


def _value(rule: RuleResult) -> str:
    """Returns what the value of a metric is and what is asked for."""
    where = "" if rule.slice == OVERALL else f" on {clip(rule.slice, _NAME_CHARACTERS)}"
    return (
        f"{rule.title} is {number(rule.quantized_value)}{where}, and {rule.side} "
        f"{number(rule.limit)} is asked for"
    )


def _value_of_both(report: Report, rules: Sequence[RuleResult]) -> str:
    worst = _worst(rules)
    return (
        f"{_value(worst)}. The float model itself has {number(worst.float_value)}: quantization "
        "is not what is wrong, so train a better model, or look at the labels of the evaluated "
        "examples."
    )


def _value_of_quantized(report: Report, rules: Sequence[RuleResult]) -> str:
    worst = _worst(rules)
    said = _value(worst)
    if not math.isfinite(worst.float_value):
        return f"{said}."
    return (
        f"{said}. The float model has {number(worst.float_value)}: what is missing is lost by "
        "quantizing it."
    )


def _drop(report: Report, rules: Sequence[RuleResult]) -> str:
    worst = _worst(rules)
    said = (
        f"{worst.title} is worse by {number(worst.drop)} over all examples, and "
        f"{number(worst.bound)} is allowed"
    )
    flips = report.agreement.flips if report.agreement else ()
    if not flips:
        return f"{said}."
    first = flips[0]
    return (
        f"{said}. The most frequent change is from class {first.float_answer} to class "
        f"{first.quantized_answer}, on {counted(first.examples, 'example', 'examples')}: look at "
        "some of them."
    )


def _drop_in_slices(report: Report, rules: Sequence[RuleResult]) -> str:
    worst = _worst(rules)
    others = f" and {counted(len(rules) - 1, 'other slice', 'other slices')}" * (len(rules) > 1)
    overall = [
        value
        for value in report.metrics
        if (value.metric, value.output, value.slice) == (worst.metric, worst.output, OVERALL)
    ]
    beside = ""
    if overall:
        change = overall[0].float_value - overall[0].quantized_value
        sign = 1 if worst.drop * (worst.float_value - worst.quantized_value) >= 0 else -1
        beside = f", and by {number(sign * change)} over all examples"
    feature = worst.slice.partition(":")[0]
    remedy = (
        "make sure that such examples are among the calibration examples "
        f"(calibration.stratify_by: {clip(feature, _NAME_CHARACTERS)}), or train on more of them"
        if report.scheme in _CALIBRATED_SCHEMES
        else "train on more such examples"
    )
    return (
        f"{worst.title} is worse by {number(worst.drop)} on "
        f"{clip(worst.slice, _NAME_CHARACTERS)}{others}{beside}: {remedy}."
    )


def _worse_than_pushed(report: Report, rules: Sequence[RuleResult]) -> str:
    worst = _worst(rules)
    today = [
        value.float_value
        for value in report.metrics
        if (value.metric, value.output, value.slice) == (worst.metric, worst.output, worst.slice)
    ]
    if not today or not math.isfinite(today[0]):
        return (
            f"The pushed model has a {worst.name} of {number(worst.float_value)} on today's "
            f"examples, the new one {number(worst.quantized_value)}: compare what they were "
            "trained on."
        )
    # A drop is positive, so it tells which way is worse.
    worse = math.copysign(1, worst.quantized_value - worst.float_value)
    if worse * (today[0] - worst.float_value) > 0:
        return (
            f"Today's float model itself has a {worst.name} of {number(today[0])}, worse than the "
            f"pushed model's {number(worst.float_value)}: quantization is not what is wrong, so "
            "look at the labels and at the data that it was trained on."
        )
    return (
        f"Today's float model has a {worst.name} of {number(today[0])}, no worse than the pushed "
        f"model's {number(worst.float_value)}: what is lost is lost by quantizing it."
    )


def _nothing_pushed(report: Report, rules: Sequence[RuleResult]) -> str:
    return (
        "Nothing was pushed yet to compare with: for the first push set when_nothing_pushed: pass "
        "in the rule."
    )


def _pushed_not_known(report: Report, rules: Sequence[RuleResult]) -> str:
    return "Run again when the pushed model can be read; nothing is wrong with the new one by that."


def _worst(rules: Sequence[RuleResult]) -> RuleResult:
    return max(rules, key=lambda rule: rule.drop - rule.bound)


# --- Closer to the float model --------------------------------------------------------------------


def _far_from_float(report: Report, rules: Sequence[RuleResult]) -> str:
    [first, *_] = rules
    side = "at least" if first.metric in ("agreement", "sqnr_db") else "at most"
    of = f" of output {first.output}" if first.output else ""
    limit = "" if first.limit is None else f", and {side} {number(first.limit)} is asked for"
    return f"The {_FIGURES[first.metric]}{of} is {number(first.quantized_value)}{limit}."


def _closer_to_float(report: Report) -> str:
    """Returns how the quantized model comes closer to the float one, by what was measured."""
    scheme = report.scheme
    if scheme in ("float32", "float16"):
        return (
            f"The scheme {scheme} changes hardly anything, so the difference is likely not from "
            "quantization: compare the signature that is converted with what was trained."
        )
    if scheme == "dynamic_range":
        return "Weights of 8 bits are all that was quantized: try the scheme float16."
    if scheme not in _CALIBRATED_SCHEMES:
        return "Try a scheme with more bits: int16x8, or float16."
    return (
        _of_search(report)
        or _outside_calibration(report)
        or _small_sample(report)
        or _noisiest_layer(report)
    )


def _search(report: Report) -> list[str]:
    """Returns that a search may bring int8 back, or what follows from one that was made."""
    if report.tuning is not None:
        return list(filter(None, [_of_search(report)]))
    if report.scheme != "int8":
        return []
    if _outside_calibration(report) or _small_sample(report):
        return []
    return [
        "Try quantization.scheme: auto, which looks for a recipe that repairs what int8 loses and "
        "keeps the integers."
    ]


def _draws(report: Report) -> list[str]:
    """Returns what to do if other calibration examples would have turned the verdict."""
    if report.draws is None or not report.draws.is_decisive:
        return []
    ranges = None if report.calibration is None else report.calibration.ranges
    return [advice(report.draws, ranges)]


def _of_search(report: Report) -> str:
    """Returns what follows from a search for a recipe."""
    if report.tuning is None:
        return ""
    if report.tuning.outcome != "not found":
        return (
            f"The recipe holds on the {counted(report.tuning.examples, 'example', 'examples')} "
            f"of the split {report.tuning.split} that it was searched with, and not on these: "
            "search on examples that the model was not trained on (quantization.auto.tuning_split)"
            ", or on more of them (quantization.auto.tuning_samples)."
        )
    return f"{_sentence(report.tuning.possible)}" if report.tuning.possible else ""


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _outside_calibration(report: Report) -> str:
    shares = [
        (slice_.outside, seen.input)
        for seen in report.saturation
        for slice_ in seen.slices
        if slice_.slice == OVERALL
    ]
    outside, name = max(shares, default=(0.0, ""))
    if outside < _MANY_OUTSIDE:
        return ""
    return (
        f"{percent(outside)} of the values of input {clip(name, _NAME_CHARACTERS)} are outside the "
        "range that it was calibrated for: draw the calibration examples from data like the "
        "evaluated ones (calibration.split, calibration.samples)."
    )


def _small_sample(report: Report) -> str:
    sample = report.calibration_sample
    if sample is None or sample.size >= _FEW_CALIBRATION_EXAMPLES:
        return ""
    if sample.requested > sample.size:
        remedy = "add examples to the split that they are drawn from"
    else:
        remedy = f"set calibration.samples to {_USUAL_CALIBRATION_EXAMPLES}"
    only = counted(sample.size, "example", "examples")
    return f"The model was calibrated on only {only}: {remedy}."


def _noisiest_layer(report: Report) -> str:
    """Returns what the noise of the layers points at."""
    remedy = _other_scheme(report)
    noisy = [layer for layer in report.layers if layer.sqnr_db is not None]
    if not noisy:
        return f"{remedy.capitalize()}."
    worst = min(noisy, key=lambda layer: (layer.sqnr_db, layer.index))
    name = _layer_name(worst)
    if worst.sqnr_db is not None and worst.sqnr_db >= _NOISY_DB:
        return (
            f"No single layer stands out: the furthest from float is {name} with a signal-to-noise "
            f"ratio of {number(worst.sqnr_db)} dB. {remedy.capitalize()}."
        )
    return (
        f"The furthest from float is {name} with a signal-to-noise ratio of only "
        f"{number(worst.sqnr_db)} dB: {remedy}."
    )


def _other_scheme(report: Report) -> str:
    ranges = report.calibration.ranges if report.calibration else None
    if ranges in ("minmax", "percentile", "stock"):
        return f"try calibration.ranges: robust in place of {ranges}"
    if report.scheme == "int16x8":
        return "try the scheme float16 if the device computes in float"
    return (
        "try the scheme int16x8, whose activations have 16 bits, or dynamic_range if the device "
        "computes in float"
    )


def _layer_name(layer: Layer) -> str:
    name = clip(layer.name or layer.operator, _NAME_CHARACTERS)
    return f"layer {layer.index} ({layer.operator}, {name})"


# --- Costs ----------------------------------------------------------------------------------------


def _not_known(report: Report, rules: Sequence[RuleResult]) -> str:
    for target in report.targets:
        asks = any(rule.metric == "latency_ms" and rule.target == target.target for rule in rules)
        if asks and target.acceleration is not None and target.acceleration.refused:
            left = counted(len(target.acceleration.refused), "operator is", "operators are")
            return (
                f"How long an inference takes on {target.target} is not known: {left} left to the "
                "processor, whose time nobody estimates. Have all operators run on the "
                f"accelerator. The first one: {target.acceleration.refused[0].text}."
            )
    names = ", ".join(dict.fromkeys(words(rule.metric) for rule in rules))
    return (
        f"What could not be measured cannot be judged ({names}): size, latency and working memory "
        "need a model that TFLiteQuantizer made; for the others look at the model's outputs."
    )


def _size(report: Report, rules: Sequence[RuleResult]) -> str:
    said = _beyond("The model file", rules[0])
    parts, total = report.size_parts, report.size_bytes.quantized
    if parts is not None and total and 2 * parts.constants < total:
        share = percent(round((parts.graph + parts.metadata) / total, 3))
        return (
            f"{said} {share} of it are operators and names, which no scheme makes smaller: a model "
            "this small needs a higher max_size_ratio."
        )
    if report.scheme in ("float32", "float16"):
        return f"{said} Try dynamic_range or int8, whose weights take a quarter of float32's bytes."
    return (
        f"{said} Its weights have 8 bits already: only a float model with fewer weights is smaller."
    )


def _latency(report: Report, rules: Sequence[RuleResult]) -> str:
    rule, measured = rules[0], report.latency_ms
    said = _beyond("An inference", rule)
    # Reports of earlier releases have the quartiles alone.
    quartiles = measured.ratio_quartiles if measured and rule.upper is None else None
    if rule.verdict is Verdict.UNDECIDED:
        return f"{said} {_TOO_BUSY}"
    if quartiles and rule.limit is not None and quartiles[0] <= rule.limit:
        lower, upper = map(number, quartiles)
        return f"{said} Half of the measurements lie between {lower} and {upper}: {_BUSY}"
    return f"{said} {_faster(report)}"


_BUSY = "the machine was too busy to tell, so run again on a quiet one."
_TOO_BUSY = f"The measurements lie on both sides of that: {_BUSY}"


def _faster(report: Report) -> str:
    if report.scheme == "int16x8":
        return "The kernels for 16-bit activations are slow on CPUs: try int8 or float16."
    if report.scheme in _INTEGER_SCHEMES:
        return (
            "Small models and some operators are not faster in int8 on this machine: measure on "
            "the device, or try float16."
        )
    return "Try int8, which computes with integers, and measure on the device."


def _arena(report: Report, rules: Sequence[RuleResult]) -> str:
    said = _beyond("The working memory", rules[0])
    if report.scheme in _INTEGER_SCHEMES:
        shaped = [layer for layer in report.layers if layer.output_shape]
        if not shaped:
            return said
        largest = max(shaped, key=lambda layer: math.prod(map(abs, layer.output_shape)))
        return (
            f"{said} Its activations have 8 bits already; the largest is the output of "
            f"{_layer_name(largest)}: make that smaller in the float model."
        )
    return f"{said} Try int8, whose activations take a quarter of float32's bytes."


def _size_bytes(report: Report, rules: Sequence[RuleResult]) -> str:
    said = _too_many("The model file has", "bytes", rules[0])
    if report.scheme in ("float32", "float16"):
        return f"{said} Try dynamic_range or int8, whose weights take a quarter of float32's bytes."
    return (
        f"{said} Its weights have 8 bits already: only a float model with fewer weights is smaller."
    )


def _arena_bytes(report: Report, rules: Sequence[RuleResult]) -> str:
    rule = rules[0]
    on = f" on {rule.target}" if rule.target else ""
    said = _too_many("The model needs", f"bytes of working memory{on}", rule)
    target = _target_of(report, rule)
    if target is None or target.arena is None or not target.arena.steps:
        return f"{said} Make the largest activations of the float model smaller."
    most = fullest(target.arena.steps)
    return (
        f"{said} Most is needed, {count(most.live_bytes)} bytes for tensors, while operator "
        f"{most.operator} ({most.name}, layer {most.layer}) runs: make what it reads and writes "
        "smaller in the float model."
    )


def _latency_ms(report: Report, rules: Sequence[RuleResult]) -> str:
    rule = rules[0]
    said = _too_many("An inference takes", "ms", rule)
    if rule.verdict is Verdict.UNDECIDED:
        return f"{said} {_TOO_BUSY}"
    target = _target_of(report, rule)
    source = None if target is None else target.latency_source
    if source is not None and source.kind == "estimate":
        return (
            f"{said} That is the estimate of {source.tool} for the accelerator: make the model "
            "smaller."
        )
    return f"{said} That was measured on the machine of the evaluation: make the model smaller."


def _accelerated(report: Report, rules: Sequence[RuleResult]) -> str:
    rule = rules[0]
    said = (
        f"The accelerator of {rule.target} runs {percent(rule.quantized_value)} of the operators, "
        f"and {percent(rule.limit or 0)} are asked for."
    )
    target = _target_of(report, rule)
    if target is None or target.acceleration is None or not target.acceleration.refused:
        return said
    refused = target.acceleration.refused
    first = refused[0]
    more = f" (and {len(refused) - 1} more, which the report lists)" if refused[1:] else ""
    return f"{said} Left to the processor: {first.text}{more}."


def _target_of(report: Report, rule: RuleResult) -> TargetReport | None:
    """Returns what was found on the target that a rule was judged on; None if it was on none."""
    return next((each for each in report.targets if each.target == rule.target), None)


def _too_many(what: str, unit: str, rule: RuleResult) -> str:
    found, limit = rule.quantized_value, rule.limit or 0
    said = number if unit == "ms" else _whole
    return f"{what} {said(found)} {unit}, and {said(limit)} are allowed."


def _whole(figure: float) -> str:
    return count(round(figure))


def _runtime(report: Report, rules: Sequence[RuleResult]) -> str:
    needed, limit = rules[0].quantized_release, rules[0].limit_release
    remedy = (
        "newer converters write dynamic_range for newer runtimes, so try int8_float_io or float16"
        if report.scheme == "dynamic_range"
        else "update the runtime on the devices, or make the model with an older TensorFlow"
    )
    return f"The model needs TensorFlow Lite {needed} or later, and devices have {limit}: {remedy}."


def _beyond(what: str, rule: RuleResult) -> str:
    return (
        f"{what} is {number(rule.quantized_value)} times the float model's, and "
        f"{number(rule.limit)} is allowed."
    )


# --- The table ------------------------------------------------------------------------------------

# What a limit's figure is called in a sentence.
_FIGURES: Mapping[str, str] = {
    **{limit.figure: words(limit.figure) for limit in LIMITS},
    "agreement": "share of answers on which both models agree",
    "kl_divergence": "divergence of the probabilities from the float model's",
    "mean_absolute_difference": "mean difference of the outputs from the float model's",
    "sqnr_db": "signal-to-noise ratio of the outputs in dB",
}
# By kind of rule, in the order in which they are said: what is easily done, or comes before all
# else, first.
SUGGESTIONS: Mapping[str, _Suggestion] = {
    "pushed model not known": _pushed_not_known,
    "nothing pushed": _nothing_pushed,
    "not finite": _not_finite,
    "worse than the pushed model": _worse_than_pushed,
    "value of both models": _value_of_both,
    "value": _value_of_quantized,
    "drop": _drop,
    "drop in slices": _drop_in_slices,
    "agreement": _far_from_float,
    "kl_divergence": _far_from_float,
    "mean_absolute_difference": _far_from_float,
    "sqnr_db": _far_from_float,
    "undecided": _undecided,
    "undecided value": _undecided_value,
    "size_ratio": _size,
    "latency_ratio": _latency,
    "arena_ratio": _arena,
    "size_bytes": _size_bytes,
    "arena_bytes": _arena_bytes,
    "latency_ms": _latency_ms,
    "accelerated": _accelerated,
    "runtime_version": _runtime,
    "figure not known": _not_known,
}
# After these it is said, too, how the model comes closer to the float one.
_UNDECIDED = frozenset({"undecided", "undecided value"})
_FAR_FROM_FLOAT = frozenset(
    {
        "value",
        "drop",
        "drop in slices",
        "agreement",
        "kl_divergence",
        "mean_absolute_difference",
        "sqnr_db",
    }
)
