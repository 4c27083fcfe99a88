"""Machines that nothing is set up on yet."""

from pathlib import Path

import pytest

from tests.fresh_machine.machine import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with the libraries of Debian 13 and no Python."""
    machine = Machine(tmp_path / "home")
    machine.has_libraries("2.41", "GLIBCXX_3.4.32")
    return machine


@pytest.fixture
def old_machine(machine: Machine) -> Machine:
    """A machine with the libraries of Debian 12 and no Python."""
    machine.has_libraries("2.36", "GLIBCXX_3.4.30")
    return machine
