"""Which examples there are, and which of them a model is calibrated with.

Nothing here needs TensorFlow, Beam or NumPy: the settings are those of a config, too.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from typing_extensions import Self

from tfx_tflite.components.errors import ConfigError, listed
from tfx_tflite.components.examples.spans import RollingSplits, SpanPattern
from tfx_tflite.components.settings import AnyPath, Count, LocalPath, Settings, problem
from tfx_tflite.components.uris import without_credentials


def _pattern(pattern: str) -> str:
    if not without_credentials(pattern) or pattern.startswith("/"):
        raise ValueError("expected a file pattern relative to data.input_base")
    return pattern


class RollingSettings(Settings):
    """What of rolling data is taken.

    Attributes:
        spans: Of the splits that are rolled, how many of the newest spans are taken.
        rolled_splits: Their names; of the others the newest span is taken.
    """

    spans: Count = 1
    rolled_splits: Annotated[
        tuple[str, ...], AfterValidator(lambda names: tuple(sorted(names)))
    ] = ()


class StatisticsSettings(Settings):
    """Of which examples statistics are computed.

    Attributes:
        sample: How many examples of each split are drawn.
        seed: Another seed gives another sample.
    """

    sample: Count
    seed: int = Field(default=0, strict=True, ge=-(2**63), lt=2**63)


# How files hold examples, and the stage that reads them.
DataFormat = Literal["tfrecord", "csv", "parquet", "npz"]
EXAMPLE_GENS: Mapping[DataFormat, str] = {
    "tfrecord": "ImportExampleGen",
    "csv": "CsvExampleGen",
    "parquet": "ParquetExampleGen",
    "npz": "NpzExampleGen",
}


class DataConfig(Settings):
    """Where the examples are: the section `data` of a config."""

    input_base: AnyPath | None = None
    builtin: Literal["digits", "breast_cancer", "diabetes"] | None = None
    format: DataFormat = "tfrecord"
    splits: dict[str, Annotated[str, AfterValidator(_pattern)]] = Field(
        default={"train": "train/*", "eval": "eval/*"}, min_length=1
    )
    # Into which splits the files of one pattern are divided, by a hash of each example.
    hash_buckets: dict[str, Count] | None = Field(default=None, min_length=2)
    # Of rolling data, on how many of the newest spans is trained.
    spans: Count = 1
    # Whether TFX's ExampleGen takes TFRecords, which gives them in another order every time.
    shuffle: bool = Field(default=False, strict=True)
    # Of how many examples of each split the statistics are that a schema is inferred from.
    statistics: Literal["all", "none"] | Count = "all"
    # Not `schema`, which is a method of pydantic's models.
    schema_file: LocalPath | None = Field(default=None, alias="schema")

    @property
    def example_gen(self) -> str:
        """The stage that reads the data."""
        return EXAMPLE_GENS[self.format]

    @property
    def are_records_copied(self) -> bool:
        """Whether files hold tf.Examples that are taken as they are, in their order."""
        return self.format == "tfrecord" and not self.shuffle and self.hash_buckets is None

    @property
    def split_names(self) -> tuple[str, ...]:
        """The splits that the stages after ExampleGen know."""
        return tuple(self.hash_buckets or self.splits)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.input_base is None) == (self.builtin is None):
            raise ValueError("give exactly one of input_base and builtin")
        if self.builtin is not None and self.format != "tfrecord":
            raise ValueError("builtin data is in format tfrecord")
        return self

    @model_validator(mode="after")
    def _one_pattern_is_divided(self) -> Self:
        if self.hash_buckets is None:
            return self
        if self.builtin is not None:
            raise ValueError("builtin data has its splits; leave hash_buckets out")
        if len(self.splits) != 1:
            raise problem(
                "data.hash_buckets",
                f"divides the files of one pattern, but data.splits has {len(self.splits)}: "
                f"{listed(self.splits)}; write splits: {{all: PATTERN}}",
            )
        if self.spans > 1:
            raise problem(
                "data.spans",
                f"is {self.spans}, but data.hash_buckets divides each span's examples, so that no "
                "split has those of several",
            )
        return self

    @model_validator(mode="after")
    def _shuffled_are_records(self) -> Self:
        if self.shuffle and self.format != "tfrecord":
            raise problem(
                "data.shuffle",
                f"is for format tfrecord; examples of {self.format} are shuffled anyway",
            )
        return self

    @model_validator(mode="after")
    def _statistics_are_for_a_schema(self) -> Self:
        if self.statistics == "none" and self.schema_file is None:
            raise problem(
                "data.statistics",
                "is none, but without statistics no schema can be inferred; name one in "
                "data.schema, or write a number of examples",
            )
        if isinstance(self.statistics, int) and self.schema_file is not None:
            raise problem(
                "data.statistics",
                f"is {self.statistics}, but with data.schema no statistics are computed; leave one "
                "of the two out",
            )
        return self

    @model_validator(mode="after")
    def _placeholders_are_those_of_example_gen(self) -> Self:
        for split, pattern in self.splits.items():
            try:
                SpanPattern.parse(pattern)
            except ConfigError as error:
                raise problem(f"data.splits.{split}", str(error)) from error
        try:
            rolling = RollingSplits.parse("", self.splits)
        except ConfigError as error:
            raise problem("data.splits", str(error)) from error
        if rolling.is_rolling and self.builtin is not None:
            raise problem("data.splits", "builtin data has no spans; give input_base")
        if self.spans > 1 and not rolling.is_rolling:
            raise problem(
                "data.spans", f"is {self.spans}, but data.splits has neither {{SPAN}} nor a date"
            )
        return self


class SamplePlan(Settings):
    """Which examples a model is calibrated with.

    Attributes:
        split: The split to draw from.
        samples: How many examples to draw.
        stratify_by: The feature whose values are the strata; None samples from all alike.
        allocation: `equal`: the same number from each stratum as far as it goes round;
            `proportional`: as many as the stratum's share of the data.
        seed: Another seed gives another sample.
        seeds: How many such samples, called draws; the first is the one that 1 gives.
    """

    split: str = "train"
    samples: Count = 200
    stratify_by: str | None = None
    allocation: Literal["equal", "proportional"] = "equal"
    seed: int = Field(default=0, strict=True, ge=-(2**63), lt=2**63)
    seeds: int = Field(default=1, strict=True, ge=1, le=100)
