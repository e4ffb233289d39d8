"""Begin a lesson: check its parameters, set the seeds, and say in one line what will run."""

from __future__ import annotations

import os

from helpers.notebook.records import SESSION_TYPE, show_record
from helpers.profiles import Profile, choose_profile

# What the course computes with, by the names in ``~/.keras/keras.json``.
KERAS_SETTINGS = {
    "backend": "tensorflow",
    "floatx": "float32",
    "epsilon": 1e-7,
    "image_data_format": "channels_last",
    "dtype_policy": "float32",
}

chosen_profile: Profile | None = None  # once the lesson has begun


def begin(profile_name: str, seed: int) -> Profile:
    """Choose the profile, set Keras up as the course needs it, seed every random generator, and print one line.

    The course computes with TensorFlow, channels last and float32, whatever ``~/.keras/keras.json`` or an earlier cell
    says; what this changes is said in another line.

    Args:
        profile_name: the lesson's parameter PROFILE.
        seed: the lesson's parameter SEED, a whole number from 0 to 2**31 - 1.

    Raises:
        TypeError: a parameter has the wrong type.
        UnknownProfileError: there is no such profile.
        RuntimeError: Keras was loaded with another backend before.
    """
    if not isinstance(profile_name, str):
        raise TypeError(f'PROFILE must be text such as "mini", not {profile_name!r} ({type(profile_name).__name__}).')
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**31:
        raise TypeError(f"SEED must be a whole number from 0 to 2147483647, not {seed!r} ({type(seed).__name__}).")
    import helpers.quiet  # noqa: F401, here, as this room is also used where TensorFlow is not

    import keras

    global chosen_profile
    profile, reason = choose_profile(profile_name)
    chosen_profile = profile
    changed = _set_keras_up()
    if changed:
        print(f"Set for this course: {', '.join(changed)}.")
    keras.utils.set_random_seed(seed)
    device = _device_name()
    text = (
        f"Profile {profile.name} ({reason}) · data {profile.dataset} · backbone {profile.backbone} at "
        f"{profile.image_size} px · device {device} · seed {seed}"
    )
    record = {"profile": profile.name, "device": device, "seed": seed, "process": os.getpid()}
    show_record(SESSION_TYPE, record, text)
    return profile


def _set_keras_up() -> list[str]:
    """Bring Keras into the state that the course needs; return what was changed, such as "floatx float32"."""
    import helpers.quiet

    import keras

    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            f"Keras runs on {keras.backend.backend()} here, but the course needs TensorFlow. Restart the kernel, and "
            "run the cells from the first one on, before any other import of keras."
        )
    changed = []
    if helpers.quiet.other_backend:
        changed.append(f"backend tensorflow (KERAS_BACKEND was {helpers.quiet.other_backend})")
    config = keras.config
    for name, now, set_to in (
        ("floatx", config.floatx(), config.set_floatx),
        ("image_data_format", config.image_data_format(), config.set_image_data_format),
        ("epsilon", config.epsilon(), config.set_epsilon),
        ("dtype_policy", config.dtype_policy().name, config.set_dtype_policy),
    ):
        wanted = KERAS_SETTINGS[name]
        if now != wanted:
            set_to(wanted)
            changed.append(f"{name.replace('_policy', ' policy')} {wanted} (was {now})")
    return changed


def _device_name() -> str:
    """Return the name of the first GPU, or how many CPU cores this process may use."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        return f"GPU {details.get('device_name', '')}".strip()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"CPU, {cores} cores"
