"""The section `beam`: what each key means to Beam, and which do not go together."""

from typing import Any

import pytest
from pydantic import ValidationError

from tfx_tflite.pipelines.config.beam import BeamConfig

FLINK = {"engine": "flink", "master": "flink.example.com:8081"}
POOL = {"pool": "localhost:50000"}
NO_LIST = "--experiments=disable_logging_submission_environment"


def arguments(**keys: Any) -> list[str]:
    return list(BeamConfig.model_validate(keys).arguments)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, ["--runner=FnApiRunner"]),
        (
            {"workers": 2},
            [
                "--runner=FnApiRunner",
                "--direct_num_workers=2",
                "--direct_running_mode=multi_processing",
            ],
        ),
        ({"args": ["--runner=DataflowRunner"]}, ["--runner=DataflowRunner"]),
        ({"args": ["--runner", "Flink"]}, ["--runner", "Flink"]),
        (
            {"engine": "flink"},
            [
                "--runner=FlinkRunner",
                "--flink_master=[local]",
                "--parallelism=1",
                "--environment_type=LOOPBACK",
                NO_LIST,
            ],
        ),
        (
            {**FLINK, "workers": {"count": 4, **POOL}},
            [
                "--runner=FlinkRunner",
                "--flink_master=flink.example.com:8081",
                "--parallelism=4",
                "--environment_type=EXTERNAL",
                "--environment_config=localhost:50000",
                NO_LIST,
            ],
        ),
        (
            {"engine": "spark", "workers": 3},
            [
                "--runner=SparkRunner",
                "--spark_master_url=local[3]",
                "--environment_type=LOOPBACK",
                NO_LIST,
            ],
        ),
        (
            {"engine": "spark", "master": "spark://s:7077", "workers": {"image": "i:1"}},
            [
                "--runner=SparkRunner",
                "--spark_master_url=spark://s:7077",
                "--environment_type=DOCKER",
                "--environment_config=i:1",
                "--environment_cache_millis=60000",
                NO_LIST,
            ],
        ),
    ],
)
def test_keys_are_beams_options(keys: dict[str, Any], expected: list[str]):
    assert arguments(**keys) == expected


def test_args_come_last_so_that_they_win():
    assert arguments(engine="flink", args=["--parallelism=7"])[-1] == "--parallelism=7"


def test_a_number_of_workers_is_short_for_their_count():
    assert BeamConfig.model_validate({"workers": 3}).workers.count == 3


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"engine": "dask"}, "'in_process', 'flink' or 'spark'"),
        ({"master": "h:1"}, "needs an engine: beam.engine: flink or spark"),
        ({"job_server_jar": "j.jar"}, "needs an engine: beam.engine: flink or spark"),
        ({"workers": {"pool": "localhost:1"}}, "needs an engine: beam.engine: flink or spark"),
        ({"retries": 1}, "needs an engine"),
        ({"stage_time_limit": 60}, "needs an engine"),
        ({"retries": 1, "args": ["--runner=FnApiRunner"]}, "needs an engine"),
        ({"stage_time_limit": 9, "args": ["--runner=DataflowRunner"]}, "needs an engine"),
        ({"workers": 2, "args": ["--runner=FlinkRunner"]}, "is for beam.engine"),
        ({"engine": "flink", "args": ["--flink_master=h:8081"]}, "a cluster's workers come from"),
        ({"engine": "flink", "retries": -1}, "greater than or equal to 0"),
        ({"engine": "flink", "stage_time_limit": 0}, "greater than 0"),
        ({"engine": "flink", "job_server_memory": "lots"}, "should match pattern"),
        ({"workers": 0}, "greater than or equal to 1"),
        ({"workers": True}, "dictionary"),
        ({**FLINK, "workers": 2}, "a cluster's workers come from a pool or an image"),
        ({**FLINK, "workers": {"pool": "localhost"}}, "expected HOST:PORT"),
        ({**FLINK, "workers": {**POOL, "image": "i"}}, "give pool or image, not both"),
        ({"engine": "flink", "master": "spark://h:7077"}, "expected HOST:PORT of Flink"),
        ({"engine": "spark", "master": "h:7077"}, "expected spark://HOST:PORT"),
        ({"engine": "flink", "args": ["--runner=SparkRunner"]}, "another one than that of"),
    ],
)
def test_what_does_not_go_together_is_refused(keys: dict[str, Any], expected: str):
    with pytest.raises(ValidationError, match=expected):
        BeamConfig.model_validate(keys)


@pytest.mark.parametrize("args", [["--environment_type=PROCESS"], ["--environment_type", "DOCKER"]])
def test_args_may_say_where_a_clusters_workers_come_from(args: list[str]):
    assert arguments(**FLINK, args=args)[-len(args) :] == args


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, False),
        ({"engine": "spark"}, True),
        ({"args": ["--runner=PortableRunner"]}, True),
        ({"args": ["--runner=flink"]}, True),
        ({"args": ["--runner=DataflowRunner"]}, False),
    ],
)
def test_jobs_of_a_job_server_are_known_by_the_runner(keys: dict[str, Any], expected: bool):
    assert BeamConfig.model_validate(keys).is_portable is expected


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, False),
        ({"workers": 2}, True),
        ({"args": ["--direct_running_mode", "multi_processing"]}, True),
        ({"workers": 2, "args": ["--direct_running_mode=multi_threading"]}, False),
        ({"engine": "flink", "workers": 2}, False),
        ({"engine": "flink", "args": ["--direct_running_mode=multi_processing"]}, False),
        ({"args": ["--runner=FlinkRunner", "--direct_running_mode=multi_processing"]}, False),
    ],
)
def test_workers_are_processes_of_a_run_without_an_engine_that_asks_for_them(
    keys: dict[str, Any], expected: bool
):
    assert BeamConfig.model_validate(keys).has_worker_processes is expected
