"""What a config may ask of Kubernetes, and that no secret is repeated."""

import pytest

from tests.conftest import CONFIGS
from tfx_tflite.components.errors import ConfigError
from tfx_tflite.pipelines.config.file import load_config
from tfx_tflite.pipelines.config.kubeflow import KubeflowConfig
from tfx_tflite.pipelines.config.kubernetes import bytes_of, secret_in

VALUE = "hunter2/K7MDENG"


def section(*overrides: str) -> KubeflowConfig:
    kubeflow = load_config(CONFIGS / "digits.yaml", overrides).kubeflow
    assert kubeflow is not None
    return kubeflow


def refusal(override: str) -> str:
    with pytest.raises(ConfigError) as caught:
        section(override)
    return str(caught.value)


def test_variables_are_text():
    assert section("kubeflow.env={THREADS: '4', URL: 'http://store:9000'}").env == {
        "THREADS": "4",
        "URL": "http://store:9000",
    }


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("env={9X: a}", "kubeflow.env.9X: expected the name of an environment variable"),
        ("env={a-b: a}", "kubeflow.env.a-b: expected the name of an environment variable"),
        ("env={KFP_POD_NAME: a}", "kubeflow.env.KFP_POD_NAME: is a variable that Kubeflow gives"),
        ("env={X: true}", "kubeflow.env.X: expected text: put numbers, yes and no in quotes"),
        ("env={X: 007}", "kubeflow.env.X: expected text"),
        ("env={X: 1.10}", "kubeflow.env.X: expected text"),
        ("env={X: null}", "kubeflow.env.X: expected a valid string"),
        ("env={X: '{{$}}'}", "kubeflow.env.X: has {{$, which Kubeflow would put something of its"),
        ("secrets={9X: {secret: s, key: k}}", "kubeflow.secrets.9X: expected the name of an env"),
        ("secrets={X: {secret: s}}", "kubeflow.secrets.X.key: this key is needed"),
        ("env={X: a}", None),
        ("secrets={X: {secret: s3.keys, key: access.key}}", None),
        ("resources={Trainr: {cpu: 1}}", "kubeflow.resources.Trainr: is no component; there are: "),
        ("resources={Trainer: {gpus: 1}}", "unknown key; did you mean 'gpu'?"),
        ("resources={Trainer: {gpu: 0}}", "expected greater than or equal to 1, received 0"),
        ("resources={Trainer: {cpu: 0}}", "expected greater than 0, received 0"),
        ("resources={Trainer: {memory: 4 GB}}", "kubeflow.resources.Trainer.memory: "),
        ("resources={Trainer: {cpu: 0.5, memory: 1.5Gi, gpu: 2, gpu_type: amd.com/gpu}}", None),
        ("node_selector={gpu: true}", "kubeflow.node_selector.gpu: expected text"),
        ("node_selector={a b: c}", "expected the key of a Kubernetes label"),
        ("node_selector={example.com/pool: gpu_1}", None),
        ("tolerations=[{operator: Equal}]", "kubeflow.tolerations.0: Equal needs a key"),
        ("tolerations=[{key: a, operator: Exists, value: b}]", "Exists has no value"),
        ("tolerations=[{key: a, seconds: 3}]", "seconds go with effect NoExecute alone"),
        ("tolerations=[{key: a, effect: Never}]", "kubeflow.tolerations.0.effect: expected"),
        ("tolerations=[{operator: Exists}, {key: a, value: b, effect: NoSchedule}]", None),
        ("image_pull_secrets=[My_Secret]", "expected the name of something in Kubernetes"),
        ("image_pull_secrets=[registry-keys]", None),
        ("labels={pipelines.kubeflow.org/v2_component: x}", "is a label that Kubeflow sets itself"),
        ("labels={team: a b}", "kubeflow.labels.team: expected the value of a Kubernetes label"),
        ("labels={team: vision, cost-center: '12'}", None),
    ],
)
def test_what_kubernetes_refuses_is_refused_before(override: str, expected: str | None):
    if expected is None:
        section(f"kubeflow.{override}")
    else:
        assert expected in refusal(f"kubeflow.{override}")


@pytest.mark.parametrize(
    "override",
    [
        f"env={{AWS_SECRET_ACCESS_KEY: {VALUE}}}",
        f"env={{AWS_ACCESS_KEY_ID: {VALUE}}}",
        f"env={{DB_PASSWORD: {VALUE}}}",
        "env={PROXY: 'http://me:hunter2@proxy:8080'}",
        f"env={{X: [{VALUE}]}}",
        f"secrets={{AWS_KEY: {VALUE}}}",
        f"secrets={{AWS_KEY: {{secret: {VALUE}, key: k}}}}",
        f"secrets={{AWS_KEY: {{secret: s, key: '{VALUE}'}}}}",
        f"secrets={{AWS_KEY: {{secret: s, key: k, value: {VALUE}}}}}",
    ],
)
def test_the_value_of_a_secret_is_refused_and_not_repeated(override: str):
    assert "hunter2" not in refusal(f"kubeflow.{override}")


@pytest.mark.parametrize(
    ("name", "value", "is_secret"),
    [
        ("HF_TOKEN", "abc", True),
        ("TOKENIZERS_PARALLELISM", "1", False),
        ("MY_API_KEY", "abc", True),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/var/key.json", False),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "token", False),
        ("SECRET_NAME", "s3-keys", False),
        ("COMPASS", "north", False),
        ("PASSWORD", "", False),
        ("STORE", "http://user@store", False),
        ("STORE", "http://user:pass@store/bucket", True),
        ("STORE", "http://store:9000/a@b:c", False),
    ],
)
def test_secrets_are_known_by_the_names_of_variables_and_by_urls(
    name: str, value: str, is_secret: bool
):
    assert secret_in({name: value}) == (name if is_secret else None)


def test_a_variable_is_either_plain_or_secret():
    message = refusal("kubeflow={image: x, env: {X: a}, secrets: {X: {secret: s, key: k}}}")
    assert "kubeflow.secrets.X: is under kubeflow.env as well" in message


def test_a_component_has_its_own_resources_beside_those_of_all():
    kubeflow = section(
        "kubeflow.cpu=2",
        "kubeflow.memory=4Gi",
        "kubeflow.node_selector={zone: a, disk: ssd}",
        "kubeflow.tolerations=[{key: spot, operator: Exists}]",
        "kubeflow.resources={Trainer: {memory: 16Gi, gpu: 1, node_selector: {zone: b}, "
        "tolerations: [{key: gpu, operator: Exists}]}}",
    )
    trainer, pusher = kubeflow.resources_of("Trainer"), kubeflow.resources_of("Pusher")
    assert (trainer.cpu, trainer.memory, trainer.gpu) == (2, "16Gi", 1)
    assert trainer.node_selector == {"zone": "b", "disk": "ssd"}
    assert [toleration.key for toleration in trainer.tolerations] == ["spot", "gpu"]
    assert (pusher.cpu, pusher.memory, pusher.gpu) == (2, "4Gi", None)
    assert pusher.node_selector == {"zone": "a", "disk": "ssd"}
    assert [toleration.key for toleration in pusher.tolerations] == ["spot"]


@pytest.mark.parametrize(
    ("text", "expected"), [("500M", 500e6), ("4Gi", 4 * 1024**3), ("1.5K", 1500), ("2T", 2e12)]
)
def test_sizes_are_read_as_kubernetes_does(text: str, expected: float):
    assert bytes_of(text) == expected
