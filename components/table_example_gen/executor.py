"""The executors, by format."""

from tfx_tflite.components.example_tables import TableExecutor


class ParquetExecutor(TableExecutor):
    """Reads Parquet files."""

    FORMAT = "parquet"


class NpzExecutor(TableExecutor):
    """Reads .npz files."""

    FORMAT = "npz"
