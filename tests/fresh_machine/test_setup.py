"""tools/setup.sh: the environment is made as chosen and kept; what cannot be had is one line."""

import re
import shutil
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.fresh_machine.machine import PROGRAMS, Machine


@pytest.fixture
def ready(machine: Machine) -> Machine:
    """A machine that was set up with TFX 1.21 on Python 3.13."""
    machine.has_uv()
    machine.has_python("3.13")
    set_up(machine)
    machine.forget_calls()
    return machine


def set_up(machine: Machine, **variables: str) -> str:
    """Sets the environment up; returns what was said."""
    done = machine.run("setup.sh", **variables)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def refusal(machine: Machine, **variables: str) -> str:
    """Returns the last line of a set-up that fails."""
    done = machine.run("setup.sh", **variables)
    assert done.returncode == 1
    return done.stderr.splitlines()[-1]


def stamp(machine: Machine) -> dict[str, str]:
    """Returns what the stamp of a finished set-up remembers."""
    lines = (machine.venv / ".ready").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def synced_locks(machine: Machine) -> list[str]:
    """Returns the names of the locks that were installed."""
    return [Path(call.split()[-1]).name for call in machine.calls_of_uv if "pip sync" in call]


def test_the_lock_of_the_chosen_tfx_and_python_is_installed(machine: Machine):
    machine.has_uv()
    machine.has_python("3.13")
    set_up(machine)
    assert synced_locks(machine) == ["tfx-1.21-py313.txt"]
    assert stamp(machine)["GENERATION"] == "1.21"


def test_versions_size_and_time_are_said_before_the_download(machine: Machine):
    machine.has_uv()
    python = machine.has_python("3.13")
    said = set_up(machine)
    assert f"TFX 1.21 on Python 3.13 ({python})" in said
    assert re.search(r"downloaded.* GB of disk.*minutes", said)


def test_an_interrupted_set_up_is_not_taken_for_a_finished_one(machine: Machine):
    machine.has_uv()
    machine.has_python("3.13")
    assert machine.run("setup.sh", FAKE_SYNC_FAILS="1").returncode != 0
    assert not (machine.venv / ".ready").exists()
    set_up(machine)
    assert stamp(machine)["VERSION"] == "3.13"


def test_what_was_asked_for_is_kept_by_later_plain_calls(ready: Machine):
    old = ready.has_python("3.10", ready.home / "else")
    set_up(ready, GENERATION="1.16", PYTHON=str(old))
    (ready.repository / "setup.py").touch()
    ready.forget_calls()
    set_up(ready)
    assert stamp(ready) == {"GENERATION": "1.16", "VERSION": "3.10", "PYTHON": str(old)}
    assert synced_locks(ready) == ["tfx-1.16-py310.txt"]
    assert not [call for call in ready.calls_of_uv if call.startswith("uv venv")]


def test_what_was_asked_for_is_kept_by_a_set_up_that_was_interrupted(ready: Machine):
    old = ready.has_python("3.10", ready.home / "else")
    variables = {"GENERATION": "1.16", "PYTHON": str(old)}
    assert ready.run("setup.sh", **variables, FAKE_SYNC_FAILS="1").returncode != 0
    set_up(ready)
    assert stamp(ready)["PYTHON"] == str(old)


def test_nothing_is_done_again_if_the_same_is_asked_for(ready: Machine):
    set_up(ready, GENERATION="1.21")
    assert ready.calls_of_uv == []


def test_another_python_makes_the_environment_anew(ready: Machine):
    (ready.venv / "left").touch()
    other = ready.has_python("3.12")
    set_up(ready, PYTHON=str(other))
    assert stamp(ready)["PYTHON"] == str(other)
    assert not (ready.venv / "left").exists()


def test_a_python_that_went_away_is_chosen_anew(ready: Machine):
    (ready.bin / "python3.13").unlink()
    other = ready.has_python("3.12")
    (ready.repository / "setup.py").touch()
    set_up(ready)
    assert stamp(ready)["PYTHON"] == str(other)


def test_an_environment_of_the_time_before_the_choice_is_kept(old_machine: Machine):
    """Its stamp is empty."""
    old_machine.has_uv()
    python = old_machine.has_python("3.10")
    (old_machine.venv / "bin").mkdir(parents=True)
    (old_machine.venv / "bin" / "python").symlink_to(python)
    (old_machine.venv / ".ready").touch()
    set_up(old_machine)
    assert not [call for call in old_machine.calls_of_uv if call.startswith("uv venv")]
    assert stamp(old_machine)["GENERATION"] == "1.16"


def test_where_there_is_no_python_uv_installs_one(machine: Machine):
    machine.has_uv()
    python = machine.has_python("3.12", machine.home / ".local/share/uv")
    set_up(machine, FAKE_UV_PYTHON=str(python))
    assert stamp(machine)["PYTHON"] == str(python)
    assert "uv python install --quiet 3.12" in machine.calls_of_uv


def test_where_uv_has_none_either_one_line_names_the_three_ways(old_machine: Machine):
    old_machine.has_uv()
    line = refusal(old_machine)
    assert line.startswith("make: TFX 1.16 needs Python 3.10: ")
    for way in ("make PYTHON=/path/to/python3.10", "pyenv install 3.10", "uv download"):
        assert way in line


def test_a_missing_compiler_is_one_line(machine: Machine):
    (machine.bin / "g++").unlink()
    assert refusal(machine) == (
        "make: g++ not found; one package (pyfarmhash) is compiled: apt-get install g++"
    )


@pytest.fixture
def machine_with_pip(machine: Machine) -> Machine:
    """A machine on which Python has pip, which installs a stand-in of uv."""
    machine.variables["FAKE_PIP_UV"] = str(PROGRAMS / "uv")
    machine.variables["FAKE_PYTHON3"] = "3.9"
    return machine


def asked_of_pip(machine: Machine) -> str:
    """Returns what pip was called with and the requirements that it was given."""
    return (machine.home / "pip").read_text()


def test_pip_installs_uv_as_the_lock_has_it_with_its_digests(machine_with_pip: Machine):
    machine_with_pip.has_python("3.13")
    set_up(machine_with_pip)
    asked = asked_of_pip(machine_with_pip)
    assert "--require-hashes" in asked
    lock = (ROOT / "locks" / "tfx-1.21-py313.txt").read_text()
    [pin] = re.findall(r"^uv==\S+", lock, re.MULTILINE)
    assert pin in asked and "--hash=sha256:" in asked
    assert not (machine_with_pip.repository / ".uv").exists()


def test_pip_of_another_python_will_do_for_uv(machine_with_pip: Machine):
    shutil.copy(PROGRAMS / "python", machine_with_pip.bin / "python3")
    python = machine_with_pip.has_python("3.12", machine_with_pip.home / ".local/share/uv")
    set_up(machine_with_pip, FAKE_UV_PYTHON=str(python))
    assert stamp(machine_with_pip)["VERSION"] == "3.12"


def test_root_installs_pip_where_there_is_none(machine_with_pip: Machine):
    shutil.copy(PROGRAMS / "apt-get", machine_with_pip.bin)
    python = machine_with_pip.has_python("3.12", machine_with_pip.home / ".local/share/uv")
    variables = {"FAKE_UID": "0", "FAKE_APT_PYTHON": str(PROGRAMS / "python")}
    said = set_up(machine_with_pip, FAKE_UV_PYTHON=str(python), **variables)
    assert "apt-get install python3-pip" in said
    assert stamp(machine_with_pip)["VERSION"] == "3.12"


def test_who_may_not_install_pip_is_told_to(machine: Machine):
    assert refusal(machine) == (
        "make: uv comes from PyPI by pip, which is not here: apt-get install python3-pip"
    )


def test_a_generation_that_was_named_gets_no_other_libraries(old_machine: Machine):
    """Who asks for TFX 1.16 does not get TFX 1.21."""
    old_machine.has_uv()
    old_machine.has_python("3.11")
    line = refusal(old_machine, GENERATION="1.16")
    assert "TFX 1.16 needs Python 3.10" in line
    assert not (old_machine.repository / ".python").exists()
