"""The pipeline around the components: config, runners and command line.

from tfx_tflite.pipelines.config_file import load_config
from tfx_tflite.pipelines.pipeline import create_pipeline
"""
