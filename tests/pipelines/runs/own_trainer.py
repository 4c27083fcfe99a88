"""A trainer of one's own that is more than one file: the net is that of the digits, beside it."""

import digits_trainer


def run_fn(fn_args) -> None:
    """Trains the net of the module beside this one."""
    digits_trainer.run_fn(fn_args)
