"""Look over this machine: one page that says what works, what does not, and how to repair it.

Anything may be missing or broken here. So what is imported at the top needs the standard library only, and TensorFlow
is imported in a process of its own.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import textwrap
import threading
import time
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from course import ROOT
from course.doctor.caches import broken_in_course, broken_in_hub, broken_in_keras, is_cached, why_not_writable
from course.offline.check_bundle import inspect_bundle, is_damaged, shortages
from course.offline.needs import WITHOUT_IT, Need, needs_of
from course.run.store import STORE
from helpers.files.bundle import SourceError, bundle_place
from helpers.files.cache import cache_root
from helpers.files.downloads import explain, explain_status, keras_folder
from helpers.files.hub_modules import cache_of_modules
from helpers.notebook.session import KERAS_SETTINGS
from helpers.profiles import PROFILES, Profile

GIGABYTE = 2**30  # as in the table for instructors
MEMORY_FOR_MINI, MEMORY_FOR_CIFAR10 = 3.0 * GIGABYTE, 4.3 * GIGABYTE  # the most that a lesson takes, measured
DISK_SPACE = 1e9  # data, weights and features of all lessons
NETWORK_SECONDS, TENSORFLOW_SECONDS = 5, 60
LINES = textwrap.TextWrapper(
    110, initial_indent="  ", subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
)  # paths stay whole
LOOK_FOR_DEVICES = """
import json
import helpers.quiet
import keras
import tensorflow as tf
gpus = tf.config.list_physical_devices("GPU")
names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
print(json.dumps([tf.__version__, keras.__version__, names]))
"""


@dataclass(frozen=True)
class Finding:
    """One line of the page.

    Attributes:
        text: what is so.
        fix: how to repair it; None where nothing is wrong.
        stops_all: whether no profile can run because of it.
    """

    text: str
    fix: str | None = None
    stops_all: bool = False


@dataclass
class Facts:
    """What the checks learn, for the last one, that of the profiles.

    Attributes:
        gpu: whether TensorFlow sees a GPU.
        writable: the variables whose cache folders can be written.
        reachable: the addresses that answer.
        packed: the files of the bundle that are right.
        bundle_refused: whether the bundle is none, which all lessons that need one refuse.
        damaged: the files of the bundle that are not right, which lessons that need them refuse.
        stoppers: titles of the checks that found what stops all profiles.
    """

    gpu: bool = False
    writable: set[str] = field(default_factory=set)
    reachable: set[str] = field(default_factory=set)
    packed: dict[str, dict] = field(default_factory=dict)
    bundle_refused: bool = False
    damaged: dict[str, str] = field(default_factory=dict)
    stoppers: list[str] = field(default_factory=list)


def examine() -> int:
    """Print the page; return 0 if the mini profile can run here, else 1."""
    facts = Facts()
    checks = {
        "Python": check_python,
        "Packages": check_packages,
        "TensorFlow": check_tensorflow,
        "Settings of Keras": check_keras_settings,
        "Profile": check_profile_variable,
        "Memory": check_memory,
        "Caches": check_caches,
        "Bundle": check_bundle,
        "Network": check_network,
    }
    with ThreadPoolExecutor(len(checks)) as pool:
        running = {title: pool.submit(guarded, check, facts) for title, check in checks.items()}
        for title, future in running.items():
            findings = future.result()
            show(title, findings)
            if any(finding.stops_all for finding in findings):
                facts.stoppers.append(title)
    show("Profiles", guarded(check_profiles, facts))
    return 1 if facts.stoppers else 0


def guarded(check: Callable[[Facts], Iterable[Finding]], facts: Facts) -> list[Finding]:
    """Run one check; an error in it is a finding, too."""
    findings = []
    try:
        for finding in check(facts):
            findings.append(finding)
    except ImportError as error:
        findings.append(Finding(f"cannot be looked at: {error}", "install what is missing, see Packages"))
    except Exception as error:  # the page must come whatever is broken
        text = f"cannot be looked at: {type(error).__name__}: {error}"
        findings.append(Finding(text, "repair what this line names; if it names nothing, report it"))
    return findings


def show(title: str, findings: list[Finding]) -> None:
    """Print the findings of one check."""
    print(title)
    for finding in findings:
        mark = "✘" if finding.fix else "✔"
        for line in LINES.wrap(f"{mark} {finding.text}"):
            print(line)
        if finding.fix:
            print(f"    fix: {finding.fix}")


def set_up() -> str:
    """Return how to get an environment with all packages."""
    pythons = [ROOT / ".venv" / "bin" / "python", ROOT / ".venv" / "Scripts" / "python.exe"]
    own = next((python for python in pythons if python.exists()), None)
    if own and Path(sys.prefix) != own.parents[1]:
        return f"start the course's own Python: {own}"
    return f'in {ROOT}: make lab; without make: {installer()} --constraint constraints.txt --editable ".[lab]"'


def installer() -> str:
    """Return the command that installs packages for this Python; uv makes environments without pip."""
    if importlib.util.find_spec("pip"):
        return f"{sys.executable} -m pip install"
    return f"uv pip install --python {sys.executable}"


def check_python(facts: Facts) -> Iterator[Finding]:
    """Compare Python's version with what the course needs."""
    text = f"{platform.python_version()}, {platform.platform()}, {sys.executable}"
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        yield Finding(text)
    else:
        fix = "install Python 3.12, then: make lab PYTHON=/path/to/python3.12"
        yield Finding(f"{text}; the course needs 3.11, 3.12 or 3.13", fix, stops_all=True)


def check_packages(facts: Facts) -> Iterator[Finding]:
    """Compare the installed packages with the bounds in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = project["dependencies"]
    optional = [text for name, texts in project["optional-dependencies"].items() for text in texts if name != "gpu"]
    missing = [name for text in needed if version_of(name := re.split(r"[^\w.-]", text)[0]) is None]
    if missing:
        yield Finding(f"not installed: {', '.join(missing)}", set_up(), stops_all=True)
    from packaging.requirements import Requirement

    right = []
    for text in (*needed, *optional):
        requirement = Requirement(text)
        version = version_of(requirement.name)
        if version and requirement.specifier.contains(version, prereleases=True):
            right.append(f"{requirement.name} {version}")
        elif version:
            found = f"{requirement.name} {version}, but the course needs {requirement.specifier}"
            yield Finding(found, f'{installer()} "{requirement}"', stops_all=text in needed)
    if right:
        yield Finding(f"fit: {', '.join(right)}")


def version_of(package: str) -> str | None:
    """Return the version of an installed package, or None; TensorFlow is not imported for that."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    return None


def check_tensorflow(facts: Facts) -> Iterator[Finding]:
    """Import TensorFlow in a process of its own, and ask it for GPUs."""
    try:
        process = subprocess.run(
            [sys.executable, "-c", LOOK_FOR_DEVICES],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=TENSORFLOW_SECONDS,
        )
    except subprocess.TimeoutExpired:
        text = f"TensorFlow was not ready after {TENSORFLOW_SECONDS} seconds"
        yield Finding(text, "close other programs and try again; if that does not help, " + set_up(), stops_all=True)
        return
    if process.returncode:
        last = (process.stderr.strip().splitlines() or [f"the process ended with status {process.returncode}"])[-1]
        yield Finding(f"TensorFlow cannot be imported: {last}", set_up(), stops_all=True)
        return
    tensorflow, keras, gpus = json.loads(process.stdout.splitlines()[-1])
    facts.gpu = bool(gpus)
    yield Finding(f"TensorFlow {tensorflow} and Keras {keras} start; {', '.join(gpus) or 'no GPU is visible'}")
    if not gpus and has_nvidia_gpu():
        fix = f'on Linux, in {ROOT}: make lab EXTRAS=gpu; or {installer()} "tensorflow[and-cuda]"'
        yield Finding("the machine has an NVIDIA GPU, but TensorFlow does not see it", fix)


def check_keras_settings(facts: Facts) -> Iterator[Finding]:
    """Look for settings in keras.json that change what the lessons compute; other courses ask for some of them."""
    path = keras_folder("models").with_name("keras.json")
    try:
        settings = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        yield Finding(f"{path} does not exist: Keras uses its defaults")
        return
    except (OSError, ValueError, RecursionError) as error:
        yield Finding(f"{path} cannot be read ({error})", f"delete {path}; Keras makes it anew")
        return
    if not isinstance(settings, dict):
        yield Finding(f"{path} holds no settings", f"delete {path}; Keras makes it anew")
        return
    others = {name: settings[name] for name, usual in KERAS_SETTINGS.items() if settings.get(name, usual) != usual}
    if not others:
        yield Finding(f"{path}: as the course needs it")
    for name, value in others.items():
        fix = f'write "{name}": {json.dumps(KERAS_SETTINGS[name])} into {path}, or delete the file'
        yield Finding(f'{path}: "{name}" is {json.dumps(value)}, which changes what other notebooks compute', fix)


def check_profile_variable(facts: Facts) -> Iterator[Finding]:
    """Say which profile the variable COURSE_PROFILE asks for."""
    asked = os.environ.get("COURSE_PROFILE", "")
    if asked in ("", "auto"):
        yield Finding("chosen by each lesson (PROFILE in its parameters cell), or by whether there is a GPU")
    elif asked in PROFILES:
        yield Finding(f"{asked}, as the variable COURSE_PROFILE asks for")
    else:
        fix = f"set it to one of {', '.join(PROFILES)}, or unset it"
        yield Finding(f"the variable COURSE_PROFILE is {asked!r}: there is no such profile", fix, stops_all=True)


def has_nvidia_gpu() -> bool:
    """Tell whether NVIDIA's driver knows a GPU."""
    if not shutil.which("nvidia-smi"):
        return False
    try:
        answer = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.stdout.startswith("GPU")


def check_memory(facts: Facts) -> Iterator[Finding]:
    """Compare the free memory with what the lessons take."""
    import psutil

    memory = psutil.virtual_memory()
    text = f"{memory.available / GIGABYTE:.1f} of {memory.total / GIGABYTE:.1f} GB are free"
    if memory.available >= MEMORY_FOR_CIFAR10:
        yield Finding(text)
    elif memory.available >= MEMORY_FOR_MINI:
        yield Finding(
            f"{text}: enough for mini; lesson 07 on cifar10-cpu takes {MEMORY_FOR_CIFAR10 / GIGABYTE} GB",
            "close other programs before that lesson, and run one lesson at a time (JOBS=1)",
        )
    else:
        yield Finding(
            f"{text}; lessons take up to {MEMORY_FOR_MINI / GIGABYTE} GB",
            "close other programs, and run one lesson at a time (JOBS=1)",
        )


def check_caches(facts: Facts) -> Iterator[Finding]:
    """Look at the three cache folders (place, size, free space, rights, broken files) and the store of runs."""
    keras_home = keras_folder("models").parent
    for owner, folder, variable, broken in (
        ("the course", cache_root(), "COURSE_CACHE", broken_in_course),
        ("Keras", keras_home, "KERAS_HOME", broken_in_keras),
        ("TensorFlow Hub", cache_of_modules(), "TFHUB_CACHE_DIR", broken_in_hub),
    ):
        yield look_at_cache(owner, folder, variable, facts)
        for path, damage in broken(folder):
            yield Finding(f"{path}: {damage}", f"delete {path} while no lesson runs; it is made or downloaded again")
    yield Finding(
        f"Executed notebooks: {STORE.folder}, {len(STORE.entries())} runs, {STORE.size() / 1e6:.1f} MB of at most "
        f"{STORE.limit / 1e6:.0f} MB (those used longest ago are removed)"
    )


def look_at_cache(owner: str, folder: Path, variable: str, facts: Facts) -> Finding:
    """Look at one cache folder, which may not exist: place, size, free space, rights."""
    existing = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    free = shutil.disk_usage(existing).free
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    text = f"{owner}: {folder}, {len(sizes)} files, {sum(sizes) / 1e6:.1f} MB; {free / GIGABYTE:.1f} GB are free"
    reason = why_not_writable(existing)
    if reason:
        text += f". It cannot be written ({reason})"
        if variable == "KERAS_HOME":
            text += "; Keras itself falls back to a temporary folder, and downloads again"
        fix = f"set {variable} to a folder that you can write"
        return Finding(text, fix, stops_all=variable == "COURSE_CACHE")
    facts.writable.add(variable)
    if free < DISK_SPACE:
        return Finding(f"{text}: too little", f"make room, or set {variable} to a folder on another disk")
    return Finding(text)


def check_bundle(facts: Facts) -> Iterator[Finding]:
    """Check every file of the bundle that COURSE_BUNDLE names."""
    folder = bundle_place()
    if folder is None:
        yield Finding("COURSE_BUNDLE is not set: what no cache has is downloaded")
        return
    facts.bundle_refused = True
    fix = "copy the bundle again, or unset COURSE_BUNDLE; mini needs no bundle"
    try:
        facts.damaged, unlisted, facts.packed = inspect_bundle(folder)
    except SourceError as error:
        yield Finding(str(error), fix)
        return
    facts.bundle_refused = False
    for problem in facts.damaged.values():
        yield Finding(problem, fix)
    for problem in unlisted:
        yield Finding(problem, "delete it")
    if not facts.damaged:
        yield Finding(f"{folder}: {len(facts.packed)} files, all as the manifest says")


def check_network(facts: Facts) -> Iterator[Finding]:
    """Ask every address that a profile may download from, all at the same time."""
    addresses = {address for profile in PROFILES.values() for need in needs_of(profile) for address in need.addresses}
    failures = ask_all(addresses, NETWORK_SECONDS)
    facts.reachable = addresses - set(failures)
    if not facts.reachable:
        text = f"no network: none of {len(addresses)} addresses answers ({', '.join(sorted(set(failures.values())))})"
        if os.environ.get("COURSE_BUNDLE"):
            yield Finding(f"{text}; a sound bundle takes its place")
        else:
            yield Finding(text, "connect to the network, or set COURSE_BUNDLE to an offline bundle; mini needs neither")
        return
    yield Finding(f"{len(facts.reachable)} of {len(addresses)} addresses answer")
    for address, reason in sorted(failures.items()):
        host = urlsplit(address).hostname
        yield Finding(f"{address}: {reason}", f"let {host} through the firewall, or set COURSE_BUNDLE to a bundle")


def ask_all(addresses: Collection[str], seconds: float) -> dict[str, str]:
    """Ask addresses at the same time; return those that do not answer well in time, and why."""
    import requests

    answers: dict[str, str | None] = {}

    def ask(address: str) -> None:
        try:
            status = requests.head(address, timeout=seconds, allow_redirects=True).status_code
        except (OSError, ValueError) as error:  # requests' own are OSErrors; urllib3 has others
            answers[address] = explain(error)
        else:
            right = status < 400 or status in (405, 501)  # some hosts answer GET only
            answers[address] = None if right else explain_status(status)

    threads = [threading.Thread(target=ask, args=(address,), daemon=True) for address in addresses]
    for thread in threads:
        thread.start()
    end = time.monotonic() + seconds
    for thread in threads:  # the look-up of a name has no time limit of its own
        thread.join(max(0, end - time.monotonic()))
    reasons = {address: answers.get(address, f"no answer in {seconds} seconds") for address in addresses}
    return {address: reason for address, reason in reasons.items() if reason}


def check_profiles(facts: Facts) -> Iterator[Finding]:
    """Say for each profile whether it can run here."""
    for profile in PROFILES.values():
        if facts.stoppers:
            fix = "repair what stops every profile: see " + ", ".join(facts.stoppers)
            yield Finding(f"{profile.name}: cannot run", fix)
        else:
            yield look_at_profile(profile, facts)


def look_at_profile(profile: Profile, facts: Facts) -> Finding:
    """Say whether a profile can run on this machine, where nothing stops all of them."""
    needs = needs_of(profile)
    if not needs:
        return Finding(f"{profile.name}: can run")
    if facts.bundle_refused or any(is_damaged(need, facts.damaged) for need in needs if not need.optional):
        return Finding(f"{profile.name}: cannot run, a file of the bundle is damaged", "see Bundle")
    bundle = bundle_place() or Path()
    short = list(shortages(bundle, facts.packed, facts.damaged, profile))
    unusable = [words for need, words in short if not need.optional and set(need.packed) & set(facts.packed)]
    if unusable:
        fix = "make a bundle for this profile, or unset COURSE_BUNDLE"
        return Finding(f"{profile.name}: cannot run, the bundle does not have {', '.join(unusable)}", fix)
    elsewhere = [need for need, _ in short if is_damaged(need, facts.damaged) or not is_cached(need)]
    nowhere = [need for need in elsewhere if is_damaged(need, facts.damaged) or not can_download(need, facts)]
    lacks = [need.packed[0] for need in nowhere if not need.optional]
    if lacks:
        fix = "connect to the network, with caches that can be written, or set COURSE_BUNDLE to an offline bundle"
        return Finding(f"{profile.name}: cannot run, it lacks {', '.join(lacks)}", fix)
    text = f"{profile.name}: can run"
    if len(elsewhere) > len(nowhere):
        text += f", with {len(elsewhere) - len(nowhere)} downloads"
    if nowhere:
        text += f", but without {', '.join(need.packed[0] for need in nowhere)}: {WITHOUT_IT}"
    if profile.name == "cifar10-gpu" and not facts.gpu:
        return Finding(f"{text}; but it is made for a GPU, and none is visible", "use cifar10-cpu or mini")
    return Finding(text)


def can_download(need: Need, facts: Facts) -> bool:
    """Tell whether what a profile needs can be downloaded, and kept."""
    variable = "KERAS_HOME" if need.source else "TFHUB_CACHE_DIR"
    return variable in facts.writable and bool(facts.reachable.intersection(need.addresses))
