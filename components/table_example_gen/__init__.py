"""ExampleGen for files of columns: Parquet, and NumPy's .npz."""
