"""The section `retention` of a config: what runs leave below their root, and for how long."""

from tfx_tflite.components.settings import Count, Settings


class RunRetention(Settings):
    """How many runs keep what they left; after each run that came to a verdict the rest goes."""

    keep_runs: Count
