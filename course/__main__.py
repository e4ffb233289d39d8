"""The maintainer's and instructor's tools: ``python -m course COMMAND``. Students need ``run`` and ``doctor`` only."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import warnings
from pathlib import Path

from course import ROOT, CourseError
from course.run.cores import share_cores, usual_jobs
from course.run.lessons import find_lessons, succeeded
from helpers.execution.engine import make_folders_absolute
from helpers.files.bundle import SourceError
from helpers.files.home import without_tilde
from helpers.profiles import PROFILES

USUAL_JOBS = "default: one more than there are cores, with 4 GB of memory for each"
REPORT, SITE = ROOT / "build" / "report", ROOT / "build" / "site"
COMMANDS = {
    "for students": {
        "run": "run lessons and write a report",
        "doctor": "look over this machine, and say what to repair",
    },
    "for instructors": {
        "release": "pack the course for students, without the answers",
        "grade": "run the checks of the exercises on what students handed in",
        "capacity": "say how many machines and hours other numbers of submissions need",
        "bundle": "make an offline bundle: data, weights and hub modules in one folder",
        "check-bundle": "check each file of a bundle; say which profiles it serves",
        "site": "build the course's site from the lessons run on mini",
    },
    "for maintainers": {
        "seeds": "run lessons with many seeds and count how often each claim holds",
        "results": "keep the results of a run for the site",
        "check-site": "read every page of the site as Chromium and axe-core do",
        "exercises": "write the exercises from their solutions",
        "strip-outputs": "strip notebooks of the outputs that nbval does not compare",
        "badges": "write the repository's address and tag into all notebooks",
        "pretrain": "train the embedded networks again, from the sprite atlas",
        "atlas": "build the sprite atlas again, from the artists' packages",
    },
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a Windows console may have no ✔
    if os.environ.pop("PYTHONWARNINGS", None):  # warnings as errors would stop libraries, here and in the kernels
        warnings.simplefilter("ignore")
    make_folders_absolute()
    options = parser().parse_args(arguments)
    if not (ROOT / "notebooks").is_dir():  # installed without --editable, or copied in part
        print(
            f"python -m course: there are no notebooks in {ROOT}; run this in the folder of the course that you cloned "
            "or unpacked.",
            file=sys.stderr,
        )
        return 2
    if "jobs" in options:
        options.jobs = options.jobs or usual_jobs()
        if options.jobs > 1:
            share_cores(options.jobs)
    try:
        return options.command(options)
    except (CourseError, SourceError, OSError) as error:
        print(f"python -m course: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("python -m course: stopped. What was finished is kept.", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """Describe all commands and their options."""
    lists = [
        "\n".join([f"{group}:", *(f"  {name:15}{text}" for name, text in texts.items())])
        for group, texts in COMMANDS.items()
    ]
    main_parser = argparse.ArgumentParser(
        prog="python -m course",
        usage="python -m course COMMAND [options]",
        description="The tools of the course. Each command says more: python -m course COMMAND --help",
        epilog="\n\n".join(lists),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = main_parser.add_subparsers(
        required=True, metavar="COMMAND", prog="python -m course", help=argparse.SUPPRESS
    )
    commands = {
        name: subparsers.add_parser(name, description=f"{text[0].upper()}{text[1:]}.")
        for texts in COMMANDS.values()
        for name, text in texts.items()
    }

    run = commands["run"]
    add_run_options(run, REPORT)
    run.set_defaults(command=run_command)

    site = commands["site"]
    site.add_argument("--solutions", action="store_true", help="show the solutions, too")
    site.add_argument("--jobs", type=positive, help=f"lessons at the same time, if any must run ({USUAL_JOBS})")
    site.set_defaults(command=site_command)

    check_site = commands["check-site"]
    check_site.set_defaults(command=check_site_command)

    results = commands["results"]
    results.add_argument("report", type=absolute, help="the folder of the run, with its summary.json")
    results.set_defaults(command=results_command)

    seeds = commands["seeds"]
    add_run_options(seeds, ROOT / "build" / "seeds")
    seeds.add_argument("--seeds", type=positive, default=20, metavar="N", help="seeds 0 to N - 1 (default: 20)")
    seeds.add_argument("--keep", action="store_true", help="write the table that the lessons show, in docs/results")
    seeds.set_defaults(command=seeds_command)

    strip_outputs = commands["strip-outputs"]
    strip_outputs.add_argument("notebooks", nargs="+", type=Path)
    strip_outputs.set_defaults(command=strip_outputs_command)

    exercises = commands["exercises"]
    exercises.add_argument("--nbgrader", type=absolute, metavar="DIR", help="write nbgrader's sources there instead")
    exercises.set_defaults(command=exercises_command)

    release = commands["release"]
    release.add_argument("folder", type=absolute, metavar="DIR", help="where the zip is written")
    release.set_defaults(command=release_command)

    grade = commands["grade"]
    grade.add_argument("folder", type=absolute, metavar="FOLDER", help="a notebook or a folder for each student")
    output = ROOT / "build" / "grades"
    grade.add_argument("--output", type=absolute, default=output, help=f"folder for results (default: {output})")
    grade.add_argument("--profile", choices=PROFILES, default="mini", help="in which they run (default: mini)")
    grade.add_argument("--jobs", type=positive, help=f"submissions at the same time ({USUAL_JOBS})")
    grade.add_argument("--minutes", type=amount, default=3, help="for each; a cell or check gets a third (default: 3)")
    grade.add_argument("--memory", type=amount, default=4, metavar="GB", help="for each (default: 4)")
    grade.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask scheduler, to use more machines")
    grade.add_argument("--unprotected", action="store_true", help="also where submissions cannot be kept apart")
    grade.add_argument("--fresh", action="store_true", help="grade again what was graded before")
    grade.set_defaults(command=grade_command)

    capacity = commands["capacity"]
    capacity.add_argument("--grades", type=absolute, default=output, help=f"what grade has written (default: {output})")
    capacity.add_argument(
        "submissions", type=positive, nargs="*", default=[30, 1000, 100_000], help="how many (default: 30 1000 100000)"
    )
    capacity.add_argument("--hours", type=amount, default=1, help="within which all are graded (default: 1)")
    capacity.add_argument("--cores", type=positive, default=os.cpu_count(), help="of a machine (default: as this one)")
    capacity.add_argument("--memory", type=amount, default=16, metavar="GB", help="of a machine (default: 16)")
    capacity.set_defaults(command=capacity_command)

    pretrain = commands["pretrain"]
    pretrain.set_defaults(command=pretrain_command)

    atlas = commands["atlas"]
    atlas.add_argument("--noto", type=Path, required=True, help="the file NotoColorEmoji.ttf")
    atlas.add_argument("--twemoji", type=Path, required=True, help="the folder of npm's @discordapp/twemoji")
    atlas.add_argument("--fluent", type=Path, required=True, help="the folder of npm's fluentui-emoji")
    atlas.set_defaults(command=atlas_command)

    bundle = commands["bundle"]
    bundle.add_argument("folder", type=absolute, metavar="DIR", help="a folder that does not exist yet")
    bundle.add_argument("--profile", choices=PROFILES, default="cifar10-cpu", help="default: cifar10-cpu")
    bundle.add_argument("--train-images", type=positive, metavar="N", help="of CIFAR-10 (default: all at hand)")
    bundle.set_defaults(command=bundle_command)

    check_bundle = commands["check-bundle"]
    check_bundle.add_argument("folder", type=absolute, metavar="DIR")
    check_bundle.set_defaults(command=check_bundle_command)

    badges = commands["badges"]
    where = "on GitHub: owner/name, or its address (default: where git pushes this copy to)"
    badges.add_argument("--repository", metavar="ADDRESS", help=where)
    badges.add_argument("--tag", default="main", help="a tag or branch (default: main)")
    badges.set_defaults(command=badges_command)

    doctor = commands["doctor"]
    doctor.set_defaults(command=doctor_command)
    return main_parser


def add_run_options(command: argparse.ArgumentParser, output: Path) -> None:
    """Add the options that all commands share that run lessons."""
    names = ["auto", *PROFILES]
    command.add_argument("--profile", choices=names, default="auto", help="default: auto")
    command.add_argument("--lessons", nargs="+", default=[], metavar="NN", help="such as 03 06 (default: all)")
    command.add_argument("--jobs", type=positive, help=f"lessons at the same time ({USUAL_JOBS})")
    command.add_argument("--output", type=absolute, default=output, help=f"folder for results (default: {output})")
    command.add_argument("--fresh", action="store_true", help="run again what has not changed since the last run")
    command.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask scheduler, to use more machines")


def positive(text: str) -> int:
    """Read a whole number of at least 1."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def amount(text: str) -> float:
    """Read a number above 0."""
    with contextlib.suppress(ValueError):
        if 0 < float(text) < float("inf"):
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")


def absolute(text: str) -> Path:
    """Read a path; running a lesson changes the working folder, so it is made absolute at once."""
    return without_tilde(text).absolute()


def look_before_running(options: argparse.Namespace) -> None:
    """Raise now what each run would raise after its minutes.

    Raises:
        CourseError: COURSE_PROFILE names no profile.
        CacheFolderError: ``--output`` cannot be written.
    """
    from helpers.files.cache import writable_folder

    check_profile_variable()
    writable_folder(options.output, "--output")


def check_profile_variable() -> None:
    """Raise CourseError where the variable COURSE_PROFILE names no profile."""
    name = os.environ.get("COURSE_PROFILE", "")
    if name not in ("", "auto", *PROFILES):
        raise CourseError(f"COURSE_PROFILE is {name!r}. Set it to one of {', '.join(PROFILES)}, or auto, or unset it.")


def badges_command(options: argparse.Namespace) -> int:
    """Put the address into pyproject.toml, and from there into the notebooks."""
    from course.authoring.badges import read_address, remote_address, stamp, write_address

    write_address(options.repository or remote_address(), options.tag)
    print(f"{len(stamp())} notebooks changed; they now point to {' at '.join(read_address())}.")
    return 0


def run_command(options: argparse.Namespace) -> int:
    """Run lessons and write the report; 0 only if all ran to their end and all claims held."""
    from course.run.lessons import run_of
    from course.run.report import write_page, write_report
    from course.run.runner import run_lessons

    look_before_running(options)
    runs = [run_of(lesson, options.profile, options.output) for lesson in find_lessons(options.lessons)]
    results = run_lessons(
        runs, options.jobs, options.fresh, options.scheduler, ended=lambda run: write_page(run.executed)
    )
    print(f"Report: {write_report(results, options.profile, options.output)}")
    return 0 if all(succeeded(result) for result in results) else 1


def site_command(options: argparse.Namespace) -> int:
    """Build the site, from the run that is there if it is still right; 0 only if all claims held, too."""
    from course.run.lessons import run_of
    from course.run.report import summarise
    from course.run.runner import run_lessons
    from course.site.build import build_site

    executed = SITE.with_name("site-lessons")
    results = run_lessons([run_of(lesson, "mini", executed) for lesson in find_lessons()], options.jobs)
    build_site(summarise(results, "mini"), executed, SITE, options.solutions)
    print(f"Site: {SITE / 'index.html'}")
    return 0 if all(succeeded(result) for result in results) else 1


def check_site_command(options: argparse.Namespace) -> int:
    """Check the built site; 0 only if nothing was found."""
    from course.site.browser import check_in_browser
    from course.site.checks import external_links, find_faults, pages_of

    faults = find_faults(SITE) or check_in_browser(SITE)
    for fault in faults:
        print(f"✘ {fault}")
    for address in external_links(SITE):
        print(f"  links to {address}")
    print(f"{len(pages_of(SITE))} pages, {len(faults)} faults")
    return 1 if faults else 0


def results_command(options: argparse.Namespace) -> int:
    """Keep the results of a run, and put its costs into the instructors' page."""
    from course.run.results import INSTRUCTORS, keep_results, write_cost_table

    print(f"wrote {keep_results(options.report)}")
    if write_cost_table():
        print(f"wrote {INSTRUCTORS}")
    return 0


def seeds_command(options: argparse.Namespace) -> int:
    """Run lessons with many seeds; 0 only if each claim held often enough."""
    from course.run.gains import write_gains
    from course.run.results import RESULTS
    from course.run.seeds import NEEDED, count_table, keep_measured, measure_seeds
    from helpers.profiles import find_profile

    look_before_running(options)
    lessons = find_lessons(options.lessons)
    seeds, profile = range(options.seeds), find_profile(options.profile).name
    measured = measure_seeds(lessons, seeds, profile, options.jobs, options.output, options.fresh, options.scheduler)
    table = count_table(measured)
    table.to_csv(options.output / "claims.csv", index=False)
    if options.keep:
        names = keep_measured(measured, profile, RESULTS)
        print(f"Kept in {RESULTS}: {', '.join(names) or 'nothing new'}.")
        if stopped := [name for name, entry in measured.items() if entry["stopped"]]:
            print(f"Not kept, as runs did not come to their end: {', '.join(stopped)}. Run them again.")
        write_gains()
    print(table.to_string(index=False, max_colwidth=None))
    return 0 if (table["held"] >= NEEDED * table["runs"]).all() else 1


def strip_outputs_command(options: argparse.Namespace) -> int:
    """Strip notebooks; 0 only if nothing had to be changed, as pre-commit expects it."""
    from course.authoring.strip_outputs import strip_outputs

    changed = strip_outputs(options.notebooks)
    for path in changed:
        print(f"stripped {path}")
    return 1 if changed else 0


def exercises_command(options: argparse.Namespace) -> int:
    """Write the exercises; 0 only if nothing had to be changed, as pre-commit expects it. Or nbgrader's sources."""
    from course.authoring.exercises import write_exercises, write_nbgrader_sources

    if options.nbgrader:
        print(f"{len(write_nbgrader_sources(options.nbgrader))} sources are in {options.nbgrader}.")
        return 0
    changed = write_exercises()
    for path in changed:
        print(f"wrote {path}")
    return 1 if changed else 0


def release_command(options: argparse.Namespace) -> int:
    """Pack the course for students."""
    from course.authoring.badges import read_address
    from course.authoring.release import write_release

    release = write_release(options.folder)
    print(f"{release.path}: {release.files} files, sha256 {release.sha256}")
    for path in release.uncommitted:
        print(f"Not in it: {path}, as it is now. Commit it, and run this again.")
    if not read_address()[0]:
        print("Its notebooks have no links to Colab yet: python -m course badges --repository owner/name")
    return 0


def grade_command(options: argparse.Namespace) -> int:
    """Grade what students handed in."""
    from course.grading.grade import Limits, grade

    limits = Limits(options.minutes, 20 * options.minutes, options.memory, options.profile)
    table, kept_apart = grade(
        options.folder,
        options.output,
        options.jobs,
        limits,
        options.scheduler,
        options.unprotected,
        options.fresh,
    )
    print(table.to_string())
    print(f"Graded in the profile {options.profile}. The submissions were {kept_apart}.")
    print(f"Messages: {options.output / 'grades.html'}")
    return 0


def capacity_command(options: argparse.Namespace) -> int:
    """Say what other numbers of submissions need."""
    from course.grading.capacity import capacity

    table, line = capacity(options.grades, options.submissions, options.hours, options.cores, options.memory)
    print(table.to_string())
    print(line)
    return 0


def pretrain_command(options: argparse.Namespace) -> int:
    """Train the embedded networks."""
    from course.assets.pretrain import pretrain_all
    from course.assets.pretrain_unlabelled import write_unlabelled

    pretrain_all()
    write_unlabelled()
    return 0


def atlas_command(options: argparse.Namespace) -> int:
    """Build the sprite atlas."""
    from course.assets.atlas import build_atlas

    build_atlas(options.noto, options.twemoji, options.fluent)
    return 0


def bundle_command(options: argparse.Namespace) -> int:
    """Make an offline bundle."""
    from course.offline.make_bundle import make_bundle

    files = make_bundle(options.folder, PROFILES[options.profile], options.train_images)
    megabytes = sum(entry["bytes"] for entry in files.values()) / 1e6
    print(f"Bundle: {options.folder}, {len(files)} files, {megabytes:.1f} MB")
    print("Check each copy of it: python -m course check-bundle DIR")
    return 0


def check_bundle_command(options: argparse.Namespace) -> int:
    """Check a bundle; 0 only if each file is right."""
    from course.offline.check_bundle import report_on_bundle

    return report_on_bundle(options.folder)


def doctor_command(options: argparse.Namespace) -> int:
    """Look over this machine; 0 only if the mini profile can run."""
    from course.doctor.examine import examine

    return examine()


if __name__ == "__main__":
    sys.exit(main())
