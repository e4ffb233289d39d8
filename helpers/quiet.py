"""Load TensorFlow without the lines that it prints at start-up.

TF_CPP_MIN_LOG_LEVEL does not silence the messages of the first import: they are written before TensorFlow
reads it. So the error stream points to the null device while TensorFlow loads. Import this module first:

    import helpers.quiet  # noqa: F401
    import keras

If TensorFlow ends the process meanwhile (a processor that is too old, say), Python's own report is still written.
"""

import faulthandler
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# The course uses tf.data and SavedModels. ``helpers.notebook.begin`` says so if the reader wanted another one.
_wanted = os.environ.get("KERAS_BACKEND", "tensorflow")
other_backend = "" if _wanted == "tensorflow" else _wanted
os.environ["KERAS_BACKEND"] = "tensorflow"
if (os.cpu_count() or 1) <= 4:
    # scikit-learn's matrices are small here: on two busy cores, threads that wait for each other made the same
    # logistic regression take 3 to 6 s instead of 0.02 s. NumPy and SciPy read this when they load.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# On x86, TensorFlow takes oneDNN's kernels of its own accord only where the processor has AVX-512 or AVX-VNNI. With
# AVX2 alone, a training step of the course's networks takes two thirds of the time with them.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # lessons that run at once share the GPU

_stderr = os.dup(2)
_null = os.open(os.devnull, os.O_WRONLY)
_was_enabled = faulthandler.is_enabled()
faulthandler.enable(_stderr)
os.dup2(_null, 2)
try:
    import tensorflow as tf

    tf.config.list_physical_devices()  # also loads, or fails to find, the GPU libraries
    tf.get_logger().setLevel("ERROR")  # no lines about retracing, or about files written for a SavedModel
finally:
    os.dup2(_stderr, 2)
    faulthandler.enable(2) if _was_enabled else faulthandler.disable()
    os.close(_null)
    os.close(_stderr)
