import hashlib
import re
from datetime import datetime, timezone
from pathlib import Path

import pytest

from tests.conftest import CONFIGS
from tfx_tflite.components.errors import ConfigError
from tfx_tflite.components.report.document import Provenance
from tfx_tflite.pipelines.config.file import load_config, without_secret
from tfx_tflite.pipelines.config.vocabulary import read_vocabulary, vocabulary_of

MINIMAL = """\
name: mine
root: runs
data:
  input_base: data
model:
  saved_model: model
evaluation:
  label: label
  metrics: [AUC]
gate:
  rules:
    - {metric: AUC, max_drop: 0.01}
push:
  destination: pushed
"""


@pytest.fixture
def config(tmp_path: Path):
    """Writes a config and loads it."""

    def load(text: str = MINIMAL, *overrides: str):
        path = tmp_path / "c.yaml"
        path.write_text(text)
        return load_config(path, overrides)

    return load


def problem(config, text: str = MINIMAL, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        config(text, *overrides)
    return str(caught.value)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_configs_are_valid(path: Path):
    assert load_config(path).name == path.stem


def test_a_config_knows_the_file_and_the_command_line_that_it_is_of(config, tmp_path: Path):
    provenance = config(MINIMAL, "calibration.samples=20").provenance
    path = tmp_path / "c.yaml"
    assert provenance == Provenance(
        pipeline=config().name,
        config=str(path),
        config_digest=f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}",
        overrides=("calibration.samples=20",),
    )


@pytest.mark.parametrize("key", ["metadata", "metadata.mysql", "metadata.mysql.password_file"])
def test_what_may_hold_a_password_is_not_noted(key: str):
    values = {"metadata": "{mysql: {user: s3cret}}", "metadata.mysql": "{user: s3cret}"}
    override = f"{key}={values.get(key, 's3cret')}"
    assert without_secret(override) == f"{key}=…"
    assert without_secret("calibration.samples=20") == "calibration.samples=20"


def test_paths_are_relative_to_the_file(config, tmp_path: Path):
    loaded = config()
    assert loaded.root == str(tmp_path / "runs")
    assert loaded.push.destination == str(tmp_path / "pushed")
    assert loaded.metadata_path == str(tmp_path / "runs" / "metadata.sqlite")


@pytest.mark.parametrize(
    "override",
    [
        "push.destination=s3://me:s3cret@bucket/models",
        "push.destination=https://s3cret@example.com/models",
        "data.input_base=gs://me:s3cret@bucket/data",
        "data.splits.train=s3://me:s3cret@bucket/train/*",
        "data.schema=s3://me:s3cret@bucket/schema.pbtxt",
        "model.saved_model=s3://me:s3cret@bucket/model",
        "model={trainer: {module_file: 's3://me:s3cret@b/t.py', train_steps: 1, eval_steps: 1}}",
        "root=s3://me:s3cret@bucket/runs",
        "root=az://container/runs?sv=1&sig=s3cret",
        "artifacts=s3://me:s3cret@bucket/x",
        "artifacts=https://bucket.example.com/x?X-Amz-Credential=me&X-Amz-Signature=s3cret",
        "push.signing_key=https://me:s3cret@example.com/key.pem",
        "metadata.mysql={host: 'me:s3cret@db', database: m, user: u}",
        "metadata.postgresql={host: 'mysql://me:s3cret@db', database: m, user: u}",
        "metadata.sqlite=s3://me:s3cret@bucket/m.sqlite",
        "kubeflow={image: i, pipeline_root: 's3://me:s3cret@bucket/x'}",
        "kubeflow={image: i, pipeline_root: 'ftp://me:s3cret@bucket/x'}",
        "kubeflow={image: i, paths: {data: 's3://me:s3cret@bucket/x'}}",
        "push.timeout=s3://me:s3cret@bucket",
        "name=s3://me:s3cret@bucket",
        "s3://me:s3cret@bucket",
    ],
)
def test_credentials_in_a_url_are_refused_and_not_repeated(config, override: str):
    assert "s3cret" not in problem(config, MINIMAL, override)


def test_artifacts_are_below_the_root_unless_a_place_is_given(config, tmp_path: Path):
    assert config().artifacts_path == str(tmp_path / "runs" / "artifacts")
    assert config(MINIMAL, "artifacts=elsewhere").artifacts_path == str(tmp_path / "elsewhere")
    assert config(MINIMAL, "artifacts=s3://b/x/").artifacts_path == "s3://b/x"


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("s3://", "s3:// names no bucket; write s3://BUCKET/FOLDER"),
        ("s3:///x", "s3:///x names no bucket"),
        ("http://b/x", "artifacts cannot be at http://; give a path, or a place at s3://, gs://"),
        ("hdfs://b/x", "artifacts cannot be at hdfs://"),
        ("s3://b/x?versionId=1", "expected a bucket and a folder, and nothing behind a ? or #"),
    ],
)
def test_a_place_of_artifacts_that_cannot_be_one_is_said_with_file_line_and_key(
    config, place: str, said: str
):
    text = MINIMAL + f"artifacts: {place}\n"
    line = text.count("\n")
    assert f"c.yaml:{line}: artifacts: {said}" in problem(config, text)


def test_everything_else_has_a_default(config):
    loaded = config()
    assert loaded.data.splits == {"train": "train/*", "eval": "eval/*"}
    assert loaded.quantization.scheme.value == "int8"
    assert loaded.quantization.plain_recipe.batch_size is None
    assert loaded.beam.arguments == ("--runner=FnApiRunner",)


def test_names_file_line_and_key_of_an_unknown_key_and_suggests_the_right_one(config):
    text = MINIMAL + "quantization:\n  shceme: int8\n"
    assert problem(config, text).endswith(
        "c.yaml:16: quantization.shceme: unknown key; did you mean 'scheme'?"
    )


def test_lists_the_known_keys_where_none_is_close(config):
    found = problem(config, MINIMAL + "calibration: {qqq: 1}\n")
    assert "calibration.qqq: unknown key; expected one of: split, samples, stratify_by" in found


def test_names_line_and_value_of_a_wrong_type(config):
    found = problem(config, MINIMAL + "calibration:\n  samples: many\n")
    assert "c.yaml:16: calibration.samples: expected a valid integer" in found
    assert found.endswith("received 'many'")


def test_names_a_key_that_is_needed(config):
    found = problem(config, MINIMAL.replace("  label: label\n", ""))
    assert "evaluation.label: this key is needed" in found


def test_names_an_entry_of_a_list_with_its_line(config):
    found = problem(config, MINIMAL.replace("max_drop: 0.01", "max_drop: -1"))
    assert "c.yaml:12: gate.rules.0.max_drop: expected greater than or equal to 0" in found


def test_reports_every_mistake_a_line_each(config):
    text = MINIMAL.replace("name: mine", "name: '!'") + "calibration: {samples: 0}\n"
    assert len(problem(config, text).splitlines()) == 2


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            ("  saved_model: model", "  signature: s"),
            "exactly one of trainer, saved_model, keras and tflite",
        ),
        (("  input_base: data", "  splits: {a: b}"), "exactly one of input_base and builtin"),
        (("[AUC]", "[MeanLabel]"), "gate.rules.0.metric: 'AUC' is not evaluated"),
        (("max_drop: 0.01", "slices: each, max_drop: 0"), "rules.0.slices: is 'each', but"),
        (("max_drop: 0.01", "max_drop: 0, max_relative_drop: 0"), "exactly one of max_drop"),
        (("    - {metric: AUC, max_drop: 0.01}", "    []"), "gate.rules: expected at least one"),
    ],
)
def test_refuses_impossible_combinations(config, change: tuple[str, str], expected: str):
    assert expected in problem(config, MINIMAL.replace(*change))


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("quantization: {scheme: float16, io_type: int8}", "'int8' does not go with scheme"),
        ("quantization: {scheme: int8, float_fallback: allow}", "does not go with scheme 'int8'"),
        ("quantization: {float_fallback: sometimes}", "float_fallback"),
        ("quantization: {scheme: int4}", "quantization.scheme: expected 'float32'"),
        ("quantization: {batch_size: 0}", "batch_size: expected 'dynamic' or expected greater"),
        ("calibration: {strategy: stratified}", "needs stratify_by"),
        ("calibration: {split: test}", "c.yaml:15: calibration.split: needs split 'test'"),
    ],
)
def test_refuses_impossible_sections(config, section: str, expected: str):
    assert expected in problem(config, MINIMAL + section + "\n")


def test_a_metric_of_unknown_direction_needs_one_in_its_rule(config):
    text = MINIMAL.replace("AUC", "MeanLabel")
    assert "gate.rules.0: whether a higher or a lower MeanLabel is better is not known" in (
        problem(config, text)
    )
    config(text.replace("max_drop: 0.01", "max_drop: 0.01, direction: lower_is_better"))


def test_a_trainer_needs_the_splits_that_tfx_trains_and_evaluates_on(config):
    text = MINIMAL.replace(
        "saved_model: model", "trainer: {module_file: t.py, train_steps: 1, eval_steps: 1}"
    ).replace("input_base: data", "input_base: data\n  splits: {all: '*', eval: '*'}")
    text += "calibration: {split: all}\n"
    assert "model.trainer: needs split 'train', but data.splits has: all, eval" in problem(
        config, text
    )


def test_set_replaces_adds_and_reaches_into_lists(config):
    loaded = config(
        MINIMAL,
        "quantization.scheme=float16",
        "gate.rules.0.max_drop=1e-3",
        "data.splits={train: a, eval: b}",
    )
    assert loaded.quantization.scheme.value == "float16"
    assert loaded.gate.rules[0].max_drop == 0.001
    assert loaded.data.splits == {"train": "a", "eval": "b"}


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("quantization.shceme=int8", "--set: quantization.shceme: unknown key; did you mean"),
        ("calibration.samples=x", "--set: calibration.samples: expected a valid integer"),
        ("nonsense", "--set 'nonsense': expected key=value"),
        ("quantization=int8", "--set: quantization: expected keys of its own, received 'int8'"),
        ("evaluation.slices=[a]", "--set: evaluation.slices.0: expected a list, received 'a'"),
        ("name.x=1", "--set name.x: 'name' has a value, not keys of its own"),
        ("gate.rules.4.max_drop=1", "--set gate.rules.4.max_drop: '4' is not an entry of a list"),
        ("name={", "--set name: the value is not YAML"),
    ],
)
def test_says_that_set_was_wrong(config, override: str, expected: str):
    assert expected in problem(config, MINIMAL, override)


@pytest.mark.parametrize(
    "override",
    [
        "metadata=mysql://root:geheim@db/x",
        "metadata.mysql=root:geheim@db",
        "metadata={mysql: {host: db, database: d, user: u, password_env: [geheim]}}",
        "metadata={mysql: {host: db, password: geheim",
    ],
)
def test_what_may_be_a_password_is_not_repeated(config, override: str):
    message = problem(config, MINIMAL, override)
    assert "metadata" in message and "geheim" not in message


@pytest.mark.parametrize("value", ["2026-02-30", "2026-01-01T25:00:00", "!!int x"])
def test_a_date_that_is_none_is_an_error(config, value: str):
    content = MINIMAL + f"schedule: {{cron: 0 6 * * *, start: {value}}}\n"
    assert "c.yaml: not YAML: " in problem(config, content)
    override = f"schedule={{cron: 0 6 * * *, start: {value}}}"
    assert "--set schedule: the value is not YAML" in problem(config, MINIMAL, override)


def test_a_missing_file_is_an_error(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"none\.yaml: No such file"):
        load_config(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a: [1, 2", r"c\.yaml:\d: not YAML"),
        ("a: 1\na: 2", r"c\.yaml:2: not YAML: found duplicate key"),
        ("a: 1\nb: */5 * * * *", r"c\.yaml:2: not YAML: .*; quote text that begins with \*"),
        ("- 1\n- 2", "expected a mapping of keys"),
        ("", "expected a mapping of keys"),
    ],
)
def test_a_file_that_is_no_mapping_is_an_error(config, content: str, expected: str):
    import re

    assert re.search(expected, problem(config, content))


def test_a_file_that_is_no_text_is_an_error(tmp_path: Path):
    (tmp_path / "c.yaml").write_bytes(b"\xff\xfe\x00binary")
    with pytest.raises(ConfigError, match="not a text file"):
        load_config(tmp_path / "c.yaml")


# Every key that scripts outside this repository may use, as they are promised.
REFERENCE = """\
name: digits
root: ../runs/digits
data:
  input_base: ../data/digits
  splits: {train: "train/*", eval: "eval/*"}
  schema: null
model:
  trainer: {module_file: digits_trainer.py, train_steps: 300, eval_steps: 20}
  signature: serving_tensors
  preprocessing_signature: null
calibration:
  {split: train, samples: 200, strategy: stratified, stratify_by: label, seed: 0, ranges: minmax}
quantization: {scheme: int8, io_type: int8, batch_size: dynamic}
evaluation:
  split: eval
  label: label
  output: null
  metrics: [SparseCategoricalAccuracy]
  slices: [[label]]
gate:
  min_examples: 200
  rules:
    - {metric: SparseCategoricalAccuracy, max_drop: 0.01}
    - {metric: SparseCategoricalAccuracy, max_drop: 0.05, slices: each, confidence: 0.95}
push: {destination: ../pushed/digits}
metadata: {sqlite: null}
beam: {args: ["--runner=FnApiRunner"]}
"""


def test_the_reference_config_is_valid(config):
    loaded = config(REFERENCE)
    assert loaded.gate.rules[1].confidence == 0.95
    assert loaded.quantization.io_type == "int8"
    assert loaded.quantization.float_fallback == "refuse"


@pytest.mark.parametrize(
    "override",
    [
        "root=gs://bucket/x",
        "metadata.sqlite=gs://bucket/x",
        "root=~nosuchuser/x",
        'data.splits={train: "/abs/*", eval: e}',
        "data.splits={train: '', eval: e}",
        "gate.rules.0.max_drop=true",
        "gate.rules.0.confidence='0.9'",
        "calibration.samples=true",
        "calibration.samples='200'",
        "calibration.seed=999999999999999999999",
        "quantization.batch_size=true",
    ],
)
def test_refuses_what_would_only_fail_later(config, override: str):
    problem(config, MINIMAL, override)


def test_a_percentile_that_would_leave_out_too_many_is_found_before_anything_runs(config):
    overrides = ["ranges=percentile", "percentile=90", "samples=20000"]
    found = problem(config, MINIMAL, *(f"calibration.{text}" for text in overrides))
    assert "leaves out 2000 of 20000" in found and "at most 2551 samples" in found


@pytest.mark.parametrize("ranges", ["minmax", "percentile", "stock"])
def test_ranges_are_one_of_three(config, ranges: str):
    loaded = config(MINIMAL, f"calibration.ranges={ranges}")
    assert loaded.calibration.ranges == ranges and loaded.calibration.percentile == 99.9


def test_limits_of_the_converter_are_positive(config):
    assert "time_limit" in problem(config, MINIMAL, "quantization.time_limit=0")
    assert "memory_limit" in problem(config, MINIMAL, "quantization.memory_limit=0")


def test_without_a_schedule_there_is_none(config):
    assert config().schedule is None


def test_a_schedule_is_in_utc_and_does_not_catch_up_by_default(config):
    schedule = config(MINIMAL + "schedule: {cron: 0 6 * * mon}\n").schedule
    assert schedule.time_zone == "UTC" and schedule.catch_up is False
    monday = datetime(2026, 3, 2, 6, tzinfo=timezone.utc)
    assert schedule.next_tick(datetime(2026, 2, 25, tzinfo=timezone.utc)) == monday


def test_start_and_end_are_in_the_zone_of_the_schedule_and_ticks_lie_between(config):
    text = (
        "schedule: {cron: 0 6 * * *, time_zone: Asia/Tokyo, start: 2026-01-01 06:00, "
        "end: 2026-01-02 06:00}\n"
    )
    schedule = config(MINIMAL + text).schedule
    first = schedule.next_tick(datetime(2025, 1, 1, tzinfo=timezone.utc))
    assert first.isoformat() == "2026-01-01T06:00:00+09:00"
    second = schedule.next_tick(first)
    assert second.isoformat() == "2026-01-02T06:00:00+09:00"
    assert schedule.next_tick(second) is None


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["cron: 0 6 * *"], "c.yaml:16: schedule.cron: '0 6 * *': 4 given, expected five fields"),
        (["cron: 0 6 * * 8"], "c.yaml:16: schedule.cron: '8' is not a day of week"),
        (["cron: 0 6 30 2 *"], "c.yaml:16: schedule.cron: '0 6 30 2 *' never comes"),
        (["cron: 7"], "c.yaml:16: schedule.cron: expected a valid string, received 7"),
        (["time_zone: UTC"], "c.yaml:15: schedule.cron: this key is needed"),
        (
            ["cron: 0 6 * * 1", "time_zone: Mars/Base"],
            "c.yaml:17: schedule.time_zone: 'Mars/Base' is not a time zone, expected a name like",
        ),
        (
            ["cron: 0 6 * * 1", "timezone: UTC"],
            "c.yaml:17: schedule.timezone: unknown key; did you mean 'time_zone'?",
        ),
        (["cron: 0 6 * * 1", "catch_up: 3"], "c.yaml:17: schedule.catch_up: expected a valid bool"),
        (
            ["cron: 0 6 * * 1", "start: soon"],
            "c.yaml:17: schedule.start: expected a valid datetime",
        ),
        (["cron: 0 6 * * 1", "start: 2026"], "c.yaml:17: schedule.start: expected a time like"),
        (
            ["cron: 0 6 * * 1", "start: 2026-02-01", "end: 2026-01-01"],
            "c.yaml:18: schedule.end: is not after schedule.start",
        ),
        (["cron: 0 6 * * 1", "end: 1e9"], "c.yaml:17: schedule.end: expected a time like"),
    ],
)
def test_names_line_and_key_of_what_is_wrong_in_a_schedule(config, lines, expected: str):
    section = "".join(f"  {line}\n" for line in lines)
    assert expected in problem(config, MINIMAL + "schedule:\n" + section)


# --- What is judged by what ---

ONE_OUTPUT = "  label: label\n"


def evaluation(keys: str) -> str:
    """The minimal config with other keys in place of the label."""
    return MINIMAL.replace(ONE_OUTPUT, keys)


def outputs(*entries: str) -> str:
    listed = "".join(f"  - {{{entry}}}\n" for entry in entries)
    return MINIMAL.replace(ONE_OUTPUT, f"  outputs:\n{listed}").replace("  metrics: [AUC]\n", "")


KIND = "output: kind, label: kind, metrics: [AUC]"
PRICE = "output: price, label: price, metrics: [MeanSquaredError]"


def test_one_output_is_the_case_of_a_list_of_one(config):
    loaded = config(evaluation("  label: label\n  output: kind\n"))
    [judged] = loaded.evaluation.judged
    assert (judged.output, judged.label) == ("kind", "label")
    assert [metric.name for metric in judged.metrics] == ["AUC"]


def test_several_outputs_have_labels_metrics_vocabularies_and_weights_of_their_own(config):
    text = outputs(
        KIND + ", vocabulary: [a, b], example_weight: w",
        "output: echo, label: {input: x}, metrics: [MeanSquaredError]",
    )
    kind, echo = config(text).evaluation.judged
    assert (kind.vocabulary, kind.example_weight) == (("a", "b"), "w")
    assert not isinstance(echo.label, str) and echo.label.input == "x"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            outputs(KIND).replace("  outputs:", "  label: l\n  outputs:"),
            "evaluation.label: stands ",
        ),
        (outputs(KIND, KIND), "evaluation.outputs.1.output: 'kind' is listed twice"),
        (outputs("label: kind, metrics: [AUC]"), "evaluation.outputs.0.output: this key is needed"),
        (outputs("output: kind, metrics: [AUC]"), "evaluation.outputs.0.label: this key is needed"),
        (outputs("output: kind, label: kind"), "evaluation.outputs.0.metrics: this key is needed"),
        (
            outputs(KIND.replace("[AUC]", "[AUC, AUC]")),
            "evaluation.outputs.0.metrics: two have one",
        ),
        (
            outputs(KIND, KIND.replace("output: kind", "output: b")),
            "gate.rules.0.output: several o",
        ),
        (
            outputs(PRICE),
            "gate.rules.0.metric: 'AUC' is not evaluated; evaluation.metrics has: Mea",
        ),
        (evaluation("  label: l\n  vocabulary: []\n"), "vocabulary: expected an entry a class"),
        (evaluation("  label: l\n  vocabulary: [a, a]\n"), "vocabulary: 'a' is listed twice"),
        (
            evaluation("  label: {inputs: x}\n"),
            "evaluation.label.inputs: unknown key; did you mean",
        ),
        (evaluation("  label: ''\n"), "evaluation.label: String should have at least 1 char"),
        (evaluation("  label: l\n  weight: w\n"), "evaluation.weight: unknown key"),
        (evaluation("  label: l\n  example_weight_key: w\n"), "did you mean 'example_weight'?"),
        (evaluation("  label: l\n  example_weight: [w]\n"), "evaluation.example_weight: expected"),
    ],
)
def test_refuses_what_cannot_be_judged(config, text: str, expected: str):
    assert expected in problem(config, text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (outputs(KIND, PRICE), "'b' is not judged; evaluation.outputs has: kind, price"),
        (MINIMAL, "only one output is judged; leave it out"),
    ],
)
def test_a_rule_names_an_output_that_is_judged(config, text: str, expected: str):
    text = text.replace("max_drop: 0.01", "max_drop: 0.01, output: b")
    assert f"gate.rules.0.output: {expected}" in problem(config, text)


def test_a_rule_needs_no_output_where_one_alone_has_the_metric(config):
    loaded = config(outputs(KIND, PRICE))
    assert loaded.gate.rules[0].output is None


def test_a_vocabulary_may_be_a_file_beside_the_config(config, tmp_path: Path):
    loaded = config(evaluation("  label: l\n  vocabulary: words.txt\n"))
    (tmp_path / "words.txt").write_text("\ufeffant\nbee\u2028hive\n\n", encoding="utf-8")
    [judged] = loaded.evaluation.judged
    assert vocabulary_of(judged) == ("ant", "bee\u2028hive")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "there is no file"),
        (b"", "line 1 of"),
        (b"a\n\nb\n", "line 2 of"),
        (b"a\nb\na\n", "lists 'a' twice"),
        (b"\xff\xfe", "is not text in UTF-8"),
    ],
)
def test_a_file_that_is_no_vocabulary_is_an_error(tmp_path: Path, content: bytes | None, expected):
    path = tmp_path / "words.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"evaluation\.vocabulary: ") as caught:
        read_vocabulary(str(path))
    assert expected in str(caught.value)


def test_one_pattern_is_divided_into_splits_by_hash(config):
    data = config(
        MINIMAL, "data.splits={all: '*.csv'}", "data.hash_buckets={train: 4, eval: 1}"
    ).data
    assert data.split_names == ("train", "eval")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["data.hash_buckets={train: 2, eval: 1}"],
            r"divides the files of one pattern, .* has 2: ",
        ),
        (
            ["data.splits={all: '*'}", "data.hash_buckets={train: 2, test: 1}"],
            "needs split 'eval', but data.hash_buckets has: train, test",
        ),
        (
            [
                "data.splits={all: '{SPAN}/*'}",
                "data.hash_buckets={train: 2, eval: 1}",
                "data.spans=2",
            ],
            "data.spans: is 2, but data.hash_buckets divides each span's examples",
        ),
        (
            ["data={builtin: digits, hash_buckets: {train: 2, eval: 1}}"],
            "builtin data has its splits",
        ),
        (["data.hash_buckets={train: 1}"], "data.hash_buckets"),
    ],
)
def test_what_cannot_be_divided_is_refused(config, overrides: list[str], message: str):
    assert re.search(message, problem(config, MINIMAL, *overrides))


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["data.statistics=some"], "data.statistics: expected 'all' or 'none' or"),
        (["data.statistics=0"], "data.statistics: expected"),
        (["data.statistics=true"], "data.statistics: expected"),
        (["data.statistics=1.5"], "data.statistics: expected"),
        (
            ["data.statistics=none"],
            "data.statistics: is none, but without statistics no schema can be inferred; name one "
            "in data.schema",
        ),
        (
            ["data.statistics=1000", "data.schema=schema.pbtxt"],
            "data.statistics: is 1000, but with data.schema no statistics are computed",
        ),
        (["data.shuffle=perhaps"], "data.shuffle: expected"),
        (
            ["data.shuffle=true", "data.format=csv"],
            "data.shuffle: is for format tfrecord; examples of csv are shuffled anyway",
        ),
    ],
)
def test_what_cannot_be_of_statistics_and_shuffling_is_named(config, overrides, expected: str):
    assert expected in problem(config, MINIMAL, *overrides)


def test_statistics_may_be_of_a_sample_or_none(config):
    assert config(MINIMAL).data.statistics == "all"
    assert config(MINIMAL, "data.statistics=1000").data.statistics == 1000
    found = config(MINIMAL, "data.statistics=none", "data.schema=schema.pbtxt")
    assert found.data.statistics == "none"


@pytest.mark.parametrize(
    ("overrides", "are_copied"),
    [
        ([], True),
        (["data.shuffle=true"], False),
        (["data.splits={all: '*'}", "data.hash_buckets={train: 2, eval: 1}"], False),
        (["data.format=csv"], False),
    ],
)
def test_records_are_copied_unless_they_are_shuffled_divided_or_none(
    config, overrides: list[str], are_copied: bool
):
    assert config(MINIMAL, *overrides).data.are_records_copied == are_copied


@pytest.mark.parametrize("data_format", ["tfrecord", "csv", "parquet", "npz"])
def test_each_format_has_its_stage(config, data_format: str):
    found = config(MINIMAL, f"data.format={data_format}").data.example_gen
    assert found.lower().startswith({"tfrecord": "import"}.get(data_format, data_format))
