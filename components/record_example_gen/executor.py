"""The executor, which is that of several spans, too."""

from tfx_tflite.components.example_records import RecordExecutor


class Executor(RecordExecutor):
    """Copies TFRecords."""
