"""The examples in the docstrings are run, because they state figures."""

import doctest
import importlib
import pkgutil

import pytest

from tfx_tflite.components.judgement import statistics

MODULES = [module.name for module in pkgutil.iter_modules(statistics.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_give_what_they_say(name: str):
    module = importlib.import_module(f"{statistics.__name__}.{name}")
    assert doctest.testmod(module).failed == 0
