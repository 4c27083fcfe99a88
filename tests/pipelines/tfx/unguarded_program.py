"""A program as users write them: what it does is not kept for when it is the main one.

`python unguarded_program.py MODULE... [--waits]` runs a pipeline with two workers that are forked
from a process with these modules, and prints their ids. With `--waits` they do not end, and print
their ids themselves.
"""

import sys
from contextlib import closing

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from tfx_tflite.pipelines.tfx.forked_workers import ForkedWorkers
from tfx_tflite.pipelines.tfx.patches import forked_workers

print("the program begins", flush=True)
MODULES = [argument for argument in sys.argv[1:] if argument != "--waits"]
WAITS = "--waits" in sys.argv
WORKERS = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")


def process(_: int, waits: bool) -> tuple[int, bool]:
    import os
    import sys
    import time

    if waits:
        print("waits", os.getpid(), flush=True)
        time.sleep(600)
    return os.getpid(), "wave" in sys.modules


def show(found: tuple[int, bool]) -> None:
    print("works", *found, flush=True)


with closing(ForkedWorkers(MODULES)) as workers, forked_workers(workers):
    options = PipelineOptions(["--runner=FnApiRunner", *WORKERS])
    with beam.Pipeline(options=options) as pipeline:
        pipeline | beam.Create(range(8)) | beam.Map(process, WAITS) | beam.Map(show)
print("the program ends", flush=True)
