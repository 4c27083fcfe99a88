"""The page of the components, written from the docstrings and settings in the code.

The components are read and not imported, because importing them loads TFX.
"""

import re
from collections.abc import Iterator

import pieces
import schemas
from griffe import Class, DocstringSection, DocstringSectionKind, GriffeLoader

from tfx_tflite.components.destinations.settings import PusherSettings
from tfx_tflite.components.examples.settings import SamplePlan
from tfx_tflite.components.judgement.gate import LIMITS, Gate, MetricRule
from tfx_tflite.components.judgement.settings import EvaluatorSettings
from tfx_tflite.components.quantization.settings import QuantizerSettings
from tfx_tflite.components.settings import Settings

COMPONENTS = (
    "calibration_sampler.component.CalibrationSampler",
    "tflite_quantizer.component.TFLiteQuantizer",
    "quantization_evaluator.component.QuantizationEvaluator",
    "pusher.component.TFLitePusher",
    "record_example_gen.component.RecordExampleGen",
    "sampled_statistics_gen.component.SampledStatisticsGen",
    "rolling_example_gen.component.RollingRecordExampleGen",
    "rolling_example_gen.component.RollingImportExampleGen",
    "rolling_example_gen.component.RollingCsvExampleGen",
    "rolling_example_gen.component.RollingParquetExampleGen",
    "rolling_example_gen.component.RollingNpzExampleGen",
    "table_example_gen.component.ParquetExampleGen",
    "table_example_gen.component.NpzExampleGen",
)
SETTINGS: tuple[type[Settings], ...] = (
    SamplePlan,
    QuantizerSettings,
    EvaluatorSettings,
    PusherSettings,
)
RULES: tuple[type[Settings], ...] = (MetricRule, *LIMITS)

INTRODUCTION = """Written from the docstrings in the code. The names are imported from one place:

```python
from tfx_tflite.components import CalibrationSampler, Gate, GateRule, TFLiteQuantizer
```

Each component takes its values either as keyword arguments or as one object, `settings`. The
[settings](#settings) below say which values there are, with their defaults.
[Use the components in your own pipeline](../how-to/existing-pipeline.md) shows them in use."""

GATE = """A gate is `Gate(rules=[…])`. A rule is a mapping with the keys that the config has, like
`{"metric": "SparseCategoricalAccuracy", "max_drop": 0.01}`, or an object of one of the classes
below, such as `MetricRule(metric="SparseCategoricalAccuracy", max_drop=0.01)`. `GateRule` is the
type of all of them."""


def page() -> str:
    """Returns the page."""
    return pieces.page(
        "Components",
        INTRODUCTION,
        *_components(),
        f"## Gate and rules\n\n{GATE}",
        *map(_settings, (Gate, *RULES)),
        "## Settings",
        *map(_settings, SETTINGS),
    )


def _components() -> Iterator[str]:
    loader = GriffeLoader(search_paths=[schemas.DOCS.parent])
    for name in COMPONENTS:
        module, _, class_name = f"components.{name}".rpartition(".")
        found = loader.load(module)[class_name]
        assert isinstance(found, Class)
        yield f"## {class_name}"
        yield from _docstring(found)


def _docstring(found: Class) -> Iterator[str]:
    if found.docstring is None:
        return
    for section in found.docstring.parse("google", warnings=False, warn_unknown_params=False):
        yield _section(section)


def _section(section: DocstringSection) -> str:
    if section.kind is DocstringSectionKind.text:
        return _as_list(str(section.value))
    if section.kind is DocstringSectionKind.parameters:
        rows = ((pieces.code(entry.name), entry.description) for entry in section.value)
        return pieces.table(("argument", "meaning"), rows)
    if section.kind is DocstringSectionKind.raises:
        rows = ((pieces.code(entry.annotation), entry.description) for entry in section.value)
        return pieces.table(("error", "when"), rows)
    # A block with a title of its own, which is how TFX's components list their outputs.
    return f"{section.title}\n\n{_as_list(section.value.contents)}"


def _as_list(text: str) -> str:
    """Returns a text whose list is set apart from the line before it, as Markdown wants it."""
    text = re.sub(r"^ +- ", "- ", text, flags=re.MULTILINE)
    return re.sub(r"(:\n)(?=- )", r"\1\n", text)


def _settings(settings: type[Settings]) -> str:
    schema = settings.model_json_schema()
    table = pieces.unlinked(schemas.properties_table(schema))
    return f"### {settings.__name__}\n\n{schemas.summary(schema)}\n\n{table}"
