"""RecordExampleGen: what it takes and gives."""

from tfx.components.example_gen import component
from tfx.dsl.components.base import executor_spec
from tfx.proto import example_gen_pb2, range_config_pb2

from tfx_tflite.components.record_example_gen import executor


class RecordExampleGen(component.FileBasedExampleGen):
    """Takes TFRecords of tf.Example as they are, where TFX's ImportExampleGen parses every example.

    Every frame's checksums are compared, the examples are counted, and the files are copied or
    compressed, file by file: at a fifteenth of the time, and with the examples in the order of
    their files. ImportExampleGen gives them in another order in every run, and can divide one split
    into several by a hash.

    Component `outputs` contains:
        - `examples`: `Examples` with the splits of `input_config` and, as from ImportExampleGen,
          the custom properties `span`, `version` and `input_fingerprint`. `split_sizes` says in
          JSON how many examples each split has, and the file `files.json` which file of the
          artifact has those of which file of the data.

    Args:
        input_base: The directory below which the files are.
        input_config: Splits, with their patterns. A file is gzipped if its name ends in `.gz`.
        range_config: Which spans are taken; by default the newest.
    """

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        input_base: str,
        input_config: example_gen_pb2.Input,
        range_config: range_config_pb2.RangeConfig | None = None,
    ):
        super().__init__(
            input_base=input_base,
            input_config=input_config,
            # Without it TFX would divide a single split into two on its own account.
            output_config=example_gen_pb2.Output(),
            range_config=range_config,
        )
