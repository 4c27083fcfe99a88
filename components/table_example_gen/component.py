"""NpzExampleGen and ParquetExampleGen: what they take and give."""

from tfx.components.example_gen import component
from tfx.dsl.components.base import executor_spec
from tfx.proto import example_gen_pb2

from tfx_tflite.components.table_example_gen import executor


class _TableExampleGen(component.FileBasedExampleGen):
    """Makes tf.Examples of files that hold columns, as CsvExampleGen does of CSV.

    Component `outputs` contains:
        - `examples`: `Examples` with the splits of `input_config` and, as from any ExampleGen on
          files, the custom properties `span`, `version` and `input_fingerprint`.

    Args:
        input_base: The directory below which the files are.
        input_config: Splits, with their patterns; by default all files are one split.
        output_config: Into which splits one input split is divided by hash; by default two thirds
            are `train` and one third is `eval`.
    """

    def __init__(
        self,
        input_base: str,
        input_config: example_gen_pb2.Input | None = None,
        output_config: example_gen_pb2.Output | None = None,
    ):
        super().__init__(
            input_base=input_base, input_config=input_config, output_config=output_config
        )


class ParquetExampleGen(_TableExampleGen):
    """Takes Parquet files: each column is a feature, and each row an example."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.ParquetExecutor)


class NpzExampleGen(_TableExampleGen):
    """Takes NumPy's .npz files: each array is a feature, its first axis counts the examples."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.NpzExecutor)
