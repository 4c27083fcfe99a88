"""tools/choose.sh: which TFX and which Python a machine gets."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.fresh_machine.machine import Machine, real_python


def choice(machine: Machine, **variables: str) -> tuple[str, str, str]:
    """Returns TFX's version, Python's, and the interpreter."""
    done = machine.run("choose.sh", **variables)
    assert (done.returncode, done.stderr) == (0, "")
    lines = dict(line.split("=", 1) for line in done.stdout.splitlines())
    return lines["GENERATION"], lines["VERSION"], lines["PYTHON"]


def refusal(machine: Machine, **variables: str) -> str:
    """Returns the one line that says why nothing is chosen."""
    done = machine.run("choose.sh", **variables)
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    return line


def test_debian_12_gets_tfx_1_16(old_machine: Machine):
    python = old_machine.has_python("3.10")
    assert choice(old_machine) == ("1.16", "3.10", str(python))


def test_debian_13_gets_tfx_1_21_on_its_own_python(machine: Machine):
    python = machine.has_python("3.13")
    assert choice(machine) == ("1.21", "3.13", str(python))


def test_a_new_c_library_with_an_old_cpp_library_gets_tfx_1_16(machine: Machine):
    machine.has_libraries("2.41", "GLIBCXX_3.4.30")
    machine.has_python("3.10")
    assert choice(machine)[0] == "1.16"


@pytest.mark.parametrize(("glibc", "generation"), [("2.38", "1.16"), ("2.39", "1.21")])
def test_the_wheels_of_tfx_1_21_say_which_c_library_they_need(
    machine: Machine, glibc: str, generation: str
):
    machine.has_libraries(glibc, "GLIBCXX_3.4.32")
    assert choice(machine)[0] == generation


def test_python_3_12_is_taken_before_3_13_and_older_ones(machine: Machine):
    for version in ("3.10", "3.11", "3.13", "3.12"):
        machine.has_python(version)
    assert choice(machine)[1] == "3.12"


def test_tfx_1_21_runs_on_python_3_11_where_there_is_no_newer_one(machine: Machine):
    machine.has_python("3.11")
    assert choice(machine)[:2] == ("1.21", "3.11")


def test_python3_will_do_if_it_is_of_the_right_version(old_machine: Machine):
    python = old_machine.has_python("3")
    assert choice(old_machine, FAKE_PYTHON3="3.10") == ("1.16", "3.10", str(python))
    assert choice(old_machine, FAKE_PYTHON3="3.9") == ("1.16", "3.10", "")


def test_a_python_of_pyenv_is_found_though_it_is_not_on_path(old_machine: Machine):
    python = old_machine.has_python("3.10", old_machine.home / ".pyenv/versions/3.10.13/bin")
    assert choice(old_machine)[2] == str(python)


def test_pyenv_may_be_elsewhere(old_machine: Machine):
    python = old_machine.has_python("3.10", old_machine.home / "else/versions/3.10.2/bin")
    found = choice(old_machine, PYENV_ROOT=str(old_machine.home / "else"))
    assert found[2] == str(python)


def test_a_python_without_headers_is_passed_over(machine: Machine):
    machine.has_python("3.12")
    machine.has_python("3.13")
    assert choice(machine, FAKE_WITHOUT_HEADERS="3.12")[1] == "3.13"


def test_without_any_python_the_version_that_uv_is_to_install_is_said(
    machine: Machine,
):
    assert choice(machine) == ("1.21", "3.12", "")


def test_a_generation_that_is_named_is_taken(machine: Machine):
    machine.has_python("3.10")
    machine.has_python("3.12")
    assert choice(machine, GENERATION="1.16")[:2] == ("1.16", "3.10")


def test_a_python_that_is_named_is_taken_with_the_newest_tfx_that_runs_on_it(machine: Machine):
    machine.has_python("3.12")
    named = machine.has_python("3.10", machine.home / "else")
    assert choice(machine, PYTHON=str(named)) == ("1.21", "3.10", str(named))
    both = choice(machine, PYTHON=str(named), GENERATION="1.16")
    assert both == ("1.16", "3.10", str(named))


def test_a_python_may_bring_a_c_library_of_its_own(old_machine: Machine):
    named = old_machine.has_python("3.12", old_machine.home / "else")
    assert choice(old_machine, PYTHON=str(named), FAKE_PYTHON_GLIBC="2.41")[0] == "1.21"


def test_the_python_of_an_environment_leads_to_the_one_it_was_made_of(old_machine: Machine):
    """The environment may be the one that is about to be made anew."""
    environment = old_machine.home / "environment"
    subprocess.run([real_python(), "-m", "venv", "--without-pip", environment], check=True)
    python = choice(old_machine, PYTHON=str(environment / "bin" / "python"))[2]
    assert Path(python).resolve() == Path(real_python()).resolve()


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"GENERATION": "1.17"}, "GENERATION=1.17: expected 1.16 or 1.21"),
        ({"PYTHON": "/nowhere/python"}, "PYTHON=/nowhere/python: there is no such program"),
        ({"PYTHON": "cat"}, "PYTHON=cat: this program does not run, or is no Python 3"),
        ({"FAKE_GLIBC": ""}, "TFX needs glibc, which this Linux does not have"),
        ({"FAKE_MACHINE": "aarch64"}, "TFX runs on Linux on x86-64; this is Linux on aarch64"),
    ],
)
def test_what_cannot_be_chosen_is_one_line(machine: Machine, variables: dict[str, str], words: str):
    assert refusal(machine, **variables) == f"make: {words}"


def test_tfx_1_21_on_an_old_c_library_is_refused_before_anything_is_downloaded(
    old_machine: Machine,
):
    line = refusal(old_machine, GENERATION="1.21")
    assert "TFX 1.21 needs glibc 2.39, and here is 2.36" in line and "GENERATION=1.16" in line


def test_a_python_that_tfx_does_not_run_on_is_refused_with_those_that_it_does(machine: Machine):
    python = machine.has_python("3.9")
    line = refusal(machine, PYTHON=str(python), GENERATION="1.21")
    assert line.endswith("is Python 3.9; TFX 1.21 needs Python 3.12, 3.13, 3.11 or 3.10")


def test_a_python_without_headers_is_refused_with_the_package_that_has_them(machine: Machine):
    python = machine.has_python("3.12")
    line = refusal(machine, PYTHON=str(python), FAKE_WITHOUT_HEADERS="3.12")
    assert "no Python.h" in line and line.endswith("apt-get install python3.12-dev")


LOCKS = sorted((ROOT / "locks").glob("tfx-*.txt"))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_the_constraints_for_pip_have_the_versions_of_the_lock(lock: Path):
    constraints = lock.with_name(lock.name.replace("tfx-", "constraints-"))
    versions = re.findall(r"^([a-z0-9.-]+==\S+)", lock.read_text(), re.MULTILINE)
    assert constraints.read_text().split() == versions


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_every_file_of_a_lock_has_its_digest(lock: Path):
    """An installer checks digests only if all packages have some."""
    packages = re.split(r"^(?=[a-z0-9])", lock.read_text(), flags=re.MULTILINE)[1:]
    assert len(packages) > 200
    assert [package for package in packages if "--hash=sha256:" not in package] == []


def test_every_pair_of_tfx_and_python_that_make_chooses_has_a_lock():
    assert {path.stem for path in LOCKS} == {
        "tfx-1.16-py310",
        *(f"tfx-1.21-py3{minor}" for minor in range(10, 14)),
    }
