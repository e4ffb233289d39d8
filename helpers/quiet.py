"""Load TensorFlow without the lines that it prints at start-up.

TF_CPP_MIN_LOG_LEVEL does not silence the messages of the first import: they are written before TensorFlow
reads it. So the error stream points to the null device while TensorFlow loads. Import this module first:

    import helpers.quiet  # noqa: F401
    import keras
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["KERAS_BACKEND"] = "tensorflow"  # the course uses tf.data and SavedModels
# scikit-learn's matrices are small here: on two busy cores, threads that wait for each other made the same
# logistic regression take 3 to 6 s instead of 0.02 s. NumPy and SciPy read this when they load.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # lessons that run at once share the GPU

_stderr = os.dup(2)
_null = os.open(os.devnull, os.O_WRONLY)
os.dup2(_null, 2)
try:
    import tensorflow as tf

    tf.config.list_physical_devices()  # also loads, or fails to find, the GPU libraries
    tf.get_logger().setLevel("ERROR")  # no lines about retracing, or about files written for a SavedModel
finally:
    os.dup2(_stderr, 2)
    os.close(_null)
    os.close(_stderr)
