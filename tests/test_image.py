"""The container image: no engine builds it here, so rules are checked and its steps are run."""

import ast
import os
import re
import shutil
import subprocess
import sys
from importlib.util import cache_from_source
from pathlib import Path

import pytest
from dockerfile_parse import DockerfileParser

ROOT = Path(__file__).parents[1]
_UNREACHABLE = re.compile(
    r"error sending request|dns error|Connection refused|timed out|NewConnect"
)


@pytest.fixture(scope="module")
def instructions() -> list[tuple[str, str]]:
    parser = DockerfileParser(str(ROOT / "Dockerfile"))
    return [
        (entry["instruction"], entry["value"])
        for entry in parser.structure
        if entry["instruction"] != "COMMENT"
    ]


def copied(instructions: list[tuple[str, str]]) -> list[str]:
    """Returns what is copied from the repository."""
    return [
        source
        for name, value in instructions
        if name == "COPY" and not value.startswith("--from")
        for source in value.split()[:-1]
    ]


def build_stage(instructions: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Returns the instructions of the stage that makes the environment, which comes first."""
    stages = [place for place, (name, _) in enumerate(instructions) if name == "FROM"]
    return instructions[: stages[1]]


def test_the_wheel_is_built_of_all_its_folders(instructions):
    folders = re.findall(r"^[A-Z]+ = (\{.*\})$", (ROOT / "setup.py").read_text(), re.MULTILINE)
    needed = {name.partition("/")[0] for found in folders for name in ast.literal_eval(found)}
    assert needed >= {"components", "pipelines", "configs"}
    assert needed <= set(copied(build_stage(instructions)))


def test_hadolint_has_nothing_against_it():
    linter = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([linter, ROOT / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_it_runs_as_a_user_that_is_not_root(instructions):
    users = [value for name, value in instructions if name == "USER"]
    assert users == ["1000"]
    final = instructions[max(i for i, (name, _) in enumerate(instructions) if name == "FROM") :]
    assert ("USER", "1000") in final


def test_both_stages_are_of_one_slim_image(instructions):
    bases = {value.split()[0] for name, value in instructions if name == "FROM"}
    assert len(bases) == 1
    assert "-slim" in bases.pop()


def test_all_that_is_copied_is_there_and_is_not_ignored(instructions):
    kept = (ROOT / ".dockerignore").read_text().split()
    assert kept[0] == "*"
    for source in copied(instructions):
        assert (ROOT / source).exists()
        assert f"!{source}" in kept


def test_the_shipped_config_says_where_the_image_has_its_files(instructions):
    from tfx_tflite.pipelines.config.file import load_config
    from tfx_tflite.pipelines.kubeflow.compile import container_places

    copies = dict(value.split() for name, value in instructions if value.startswith("configs "))
    places = container_places(load_config(ROOT / "configs" / "digits.yaml")).values()
    assert f"{copies['configs']}/digits_trainer.py" in places
    assert any(re.search(r"mkdir .*/pushed", value) for name, value in instructions)
    assert "/pushed/digits" in places


@pytest.fixture(scope="module")
def installed(instructions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build stage's steps, run in an empty directory; returns the environment they make."""
    [python] = {
        found for _, value in instructions for found in re.findall(r"python:([\d.]+)", value)
    }
    if python != "{}.{}".format(*sys.version_info):
        pytest.skip(f"the image's steps are for its Python {python}, which this one is not")
    directory = tmp_path_factory.mktemp("image")
    build, environment = directory / "build", directory / "tfx-tflite"
    build.mkdir()
    for source in copied(build_stage(instructions)):
        target = build / source
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(ROOT / source, target)
    # The image's own Python: `pip` and `python` are of an environment that has nothing else.
    subprocess.run([sys.executable, "-m", "venv", directory / "python"], check=True)
    steps = [value for name, value in instructions if name == "RUN"]
    for step in steps[: steps.index(next(s for s in steps if "uv pip install" in s)) + 1]:
        if "apt-get" in step:
            continue
        command = re.sub(r"^--mount=\S+\s+", "", step)
        # As the paths are, below the directory; links to uv's cache rather than copies.
        command = command.replace("/opt/tfx-tflite", str(environment))
        command = command.replace("/build/", f"{build}/").replace("--link-mode copy", "")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=build,
            capture_output=True,
            text=True,
            env={**os.environ, "PATH": f"{directory}/python/bin:{os.environ['PATH']}"},
        )
        if done.returncode != 0 and _UNREACHABLE.search(done.stdout + done.stderr):
            pytest.skip("the package index cannot be reached, so the image's steps cannot be run")
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return environment


def run(installed: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    # From an empty directory, so that nothing of the repository is imported.
    empty = installed.parent / "empty"
    empty.mkdir(exist_ok=True)
    return subprocess.run(
        command,
        cwd=empty,
        capture_output=True,
        text=True,
        # As a container's user, who may not write into the environment.
        env={
            "PATH": f"{installed}/bin:/usr/bin:/bin",
            "HOME": str(empty),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
    )


def without_bytecode(environment: Path) -> list[Path]:
    """Returns the modules of TFX and TensorFlow that every process would have to compile."""
    [packages] = environment.glob("lib/python3.*/site-packages")
    modules = [
        path for name in ("tfx", "tensorflow/python") for path in (packages / name).rglob("*.py")
    ]
    assert len(modules) > 1000
    return [path for path in modules if not Path(cache_from_source(str(path))).exists()]


def test_the_environment_has_bytecode():
    assert without_bytecode(Path(sys.prefix)) == []


@pytest.mark.slow
def test_its_packages_have_bytecode(installed: Path):
    assert without_bytecode(installed) == []


@pytest.mark.slow
def test_its_steps_give_a_working_command(installed: Path):
    done = run(installed, "tfx-tflite", "--help")
    assert done.returncode == 0, done.stderr
    assert "compile" in done.stdout and "submit" in done.stdout


@pytest.mark.slow
def test_its_steps_give_what_containers_are_started_with(installed: Path):
    """The pipeline's components and the client for Kubeflow, without the tools of development."""
    for module in ("pipelines.kubeflow_task", "components.kubeflow_entry_point"):
        done = run(installed, "python", "-m", f"tfx_tflite.{module}", "--help")
        assert done.returncode == 0, done.stderr
        assert "--json_serialized_invocation_args" in done.stdout
    script = "import importlib.util as u; print([bool(u.find_spec(n)) for n in ('kfp', 'pytest')])"
    assert run(installed, "python", "-c", script).stdout.strip() == "[True, False]"


@pytest.mark.slow
def test_its_packages_have_the_versions_of_the_lock(installed: Path):
    listed = run(
        installed,
        "python",
        "-m",
        "pip",
        "list",
        "--format",
        "freeze",
        "--disable-pip-version-check",
    ).stdout.splitlines()
    lock = (ROOT / "locks" / "tfx-1.16-py310.txt").read_text()
    locked = dict(re.findall(r"^([\w.-]+)==([^ ]+)", lock, re.MULTILINE))
    found = dict(line.split("==") for line in listed)
    found = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found.items()}
    assert len(found) > 100
    assert {name: version for name, version in found.items() if locked.get(name) != version} == {
        "tfx-tflite": found["tfx-tflite"]
    }
