"""`beam.args` against the options that Beam has."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfx_tflite.components.errors import ConfigError
from tfx_tflite.pipelines.config.beam import BeamConfig
from tfx_tflite.pipelines.config.beam_options import check_beam_args

FLINK = ["--runner=FlinkRunner", "--flink_master=host:8081", "--environment_type=LOOPBACK"]

DATAFLOW = ["--runner=DataflowRunner", "--project=p", "--region=r"]


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["--runner=FnApiRunner", "--direct_num_workers=2"],
        ["--runner=FnApiRunner", "--direct_num_workers", "2"],
        ["--direct_running_mode=multi_processing"],
        ["--runner=PortableRunner", "--job_endpoint=h:1", "--environment_type=EXTERNAL"],
        [*FLINK, "--flink_version=1.20", "--parallelism=4"],
        ["--runner=SparkRunner", "--spark_version=3", "--spark_master_url=spark://h:7077"],
        [*DATAFLOW, "--temp_location=gs://b/t", "--sdk_container_image=image"],
        [*DATAFLOW, "--extra_package=tfx_tflite.whl"],
    ],
)
def test_options_of_every_runner_pass(args: list[str]):
    check_beam_args(args)


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["--direct_num_worker=2"], "no option --direct_num_worker; did you mean --direct_num_w"),
        (["--qqq=1"], "no option --qqq; see docs/beam.md"),
        (["--direct_num_workers=two"], "argument --direct_num_workers: invalid int value: 'two'"),
        (["--direct_running_mode=threads"], "invalid choice: 'threads'"),
        ([*FLINK, "--flink_mastr=x"], "no option --flink_mastr; did you mean --flink_master?"),
    ],
)
def test_an_option_that_beam_would_ignore_is_refused(args: list[str], expected: str):
    with pytest.raises(ConfigError) as caught:
        check_beam_args(args)
    assert str(caught.value).startswith("beam.args: ") and expected in str(caught.value)


def test_a_runner_that_beam_does_not_have_is_refused():
    with pytest.raises(ConfigError, match="no runner 'FlnkRunner'; did you mean FlinkRunner"):
        check_beam_args(["--runner=FlnkRunner"])
    for name in ("my.package.Runner", "direct", "Prism", "fnapirunner"):
        check_beam_args([f"--runner={name}"])


@pytest.mark.parametrize("name", ["dataflow", "dataflowrunner"])
def test_a_runner_may_be_spelled_as_beam_takes_it(name: str):
    with pytest.raises(ConfigError, match="Dataflow's workers need this package"):
        check_beam_args([f"--runner={name}", "--project=p", "--region=r"])


def test_dataflow_must_be_told_where_workers_have_this_package_from():
    with pytest.raises(ConfigError, match=r"need this package; .*--sdk_container_image"):
        check_beam_args(DATAFLOW)


def test_a_job_servers_own_options_pass_as_only_the_server_knows_them():
    check_beam_args([*FLINK, "--state_backend=rocksdb"])


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_an_option_that_would_end_the_run_as_if_it_had_pushed_is_refused(option: str):
    with pytest.raises(ConfigError, match=f"beam.args: {option} is for a command line"):
        check_beam_args(["--runner=FnApiRunner", option])


_OPTIONS = [
    *("--runner", "--runner=", "--runner=DirectRunner", "--runner=FlinkRunner", "--runner=a.b.C"),
    *("--", "-", "", "--=", "-x", "--help", "-h", "@file"),
    *("--direct_num_workers", "--direct_num_workers=x", "--direct_num_workers=2"),
    *("--labels=a=b", "--resource_hints=min_ram=x", "--environment_config={", "--streaming=1"),
    *("--no_save_main_session", "--setup_file=x", "--requirements_file=/nowhere", "--s3_verify=x"),
]


@settings(max_examples=300, deadline=None, database=None)
@given(st.lists(st.sampled_from(_OPTIONS) | st.text(max_size=10), max_size=4))
def test_any_options_are_known_or_refused(args: list[str]):
    with contextlib.suppress(ConfigError):
        check_beam_args(args)


def test_no_job_of_an_engine_lists_the_packages_of_this_machine(monkeypatch: pytest.MonkeyPatch):
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.portability import stager
    from apache_beam.transforms.environments import python_sdk_dependencies

    listed: list[object] = []
    monkeypatch.setattr(stager.subprocess, "check_output", lambda command: listed.append(command))
    python_sdk_dependencies(PipelineOptions(["--runner=FlinkRunner"]))
    assert len(listed) == 1
    python_sdk_dependencies(PipelineOptions(BeamConfig(engine="flink").arguments))
    assert len(listed) == 1
