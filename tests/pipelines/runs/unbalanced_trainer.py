"""The net of the digits with channels of very different size, which plain int8 fails."""

import digits_trainer
import numpy as np
import tensorflow as tf

# The largest channel is 2 to this times the smallest.
OCTAVES = 9


def run_fn(fn_args) -> None:
    """Trains the net, and rescales the channels between its convolutions."""
    tf.keras.utils.set_random_seed(1)
    model = digits_trainer.build_model()
    data = digits_trainer.dataset(fn_args.train_files).repeat()
    model.fit(data, steps_per_epoch=fn_args.train_steps, verbose=0)
    _, normalization, _, convolution, *_ = model.layers
    gamma, beta, *statistics = normalization.get_weights()
    scales = 2.0 ** np.random.default_rng(3).uniform(-OCTAVES / 2, OCTAVES / 2, len(gamma))
    normalization.set_weights([gamma * scales, beta * scales, *statistics])
    [kernel] = convolution.get_weights()
    convolution.set_weights([kernel / scales[:, None]])
    digits_trainer.export(model, fn_args.serving_model_dir)
