"""Labels from a table: a CSV file that names the class of each image file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from helpers.data.folder.layout import ImageFolderError, Layout, check_is_folder, list_images, split_of_name
from helpers.files.home import without_tilde

_LABEL_COLUMNS = ("label", "labels", "class", "class_name", "category", "target", "breed", "species", "diagnosis")
_SPLIT_COLUMNS = ("split", "set", "subset", "part", "partition")


def find_labelled_images(path: Path, table: Path) -> Layout:
    """List the images in a folder, and in those inside, that a table gives a class.

    The rules: The first line names the columns. The column of files is the one in which most values are files of the
    folder: their paths from the folder, or their names, with or without the ending. The column of labels has a name
    such as "label" or "class", or is the only other one. A column "split" may name train, validation and test.

    Args:
        path: the folder.
        table: a CSV file (comma, semicolon or tab); a relative path counts from here, then from the folder.

    Raises:
        ImageFolderError: the table cannot be read, or does not say clearly which class each file has.
    """
    check_is_folder(path)
    table = without_tilde(table)
    table = table if table.exists() else path / table
    rows = _read_rows(table)
    files, skipped = list_images(path)
    skipped.pop(table, None)
    by_name = _names_of(files, path)
    columns = list(rows[0])
    known = {column: sum(_key(row[column]) in by_name for row in rows) for column in columns}
    file_column = max(columns, key=lambda column: known[column])
    if not known[file_column]:
        raise ImageFolderError(
            f"No column of {table} ({', '.join(columns)}) names files in {path}. Wanted is a column with paths such as "
            "cats/1.jpg, or with names such as 1.jpg or 1."
        )
    label_column, split_column = _other_columns(columns, file_column, table)
    of_file: dict[Path, tuple[str, str | None]] = {}
    missing = []
    for row in rows:
        name = _key(row[file_column])
        if name not in by_name:
            missing.append(row[file_column])
            continue
        file = by_name[name]
        if file is None:
            raise ImageFolderError(
                f"{table}: several files in {path} are called {row[file_column]}. Write paths such as folder/name.jpg."
            )
        entry = row[label_column].strip(), _split_in(row[split_column], table) if split_column else None
        if not entry[0]:
            skipped[file] = f"{table.name} gives it no label"
        elif of_file.setdefault(file, entry) != entry:
            raise ImageFolderError(f"{table}: {row[file_column]} has two labels or splits. Keep one row for each file.")
    skipped |= {path / name: f"{table.name} names it, but it is not there" for name in missing}
    no_row = f"{table.name} has no row for it"
    skipped |= {file: no_row for file in files if file not in of_file and file not in skipped}
    chosen = [file for file in files if file in of_file]
    names = tuple(sorted({of_file[file][0] for file in chosen}))
    if len(names) < 2:
        raise ImageFolderError(f"{table}, column {label_column}: one class only, {', '.join(names)}; two are needed.")
    return Layout(names, chosen, [of_file[file][0] for file in chosen], [of_file[file][1] for file in chosen], skipped)


def _read_rows(table: Path) -> list[dict[str, str]]:
    """Read a table as text: each row as column -> value."""
    import pandas

    try:
        text = table.read_bytes()
        first = text.lstrip(b"\xef\xbb\xbf").splitlines()[0]
        separator = max((",", ";", "\t"), key=lambda mark: first.count(mark.encode()))
        frame = pandas.read_csv(table, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (OSError, IndexError, ValueError, pandas.errors.ParserError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise ImageFolderError(
            f"The table of labels {table} cannot be read ({reason}). Wanted is a CSV file in UTF-8, such as:\n"
            "file,label\ncats/1.jpg,cat"
        ) from error
    if len(frame.columns) < 2 or frame.empty:
        raise ImageFolderError(f"The table of labels {table} needs two columns and a row for each file:\nfile,label")
    return frame.astype(str).to_dict("records")


def _key(name: str) -> str:
    return name.strip().replace("\\", "/").removeprefix("./")


def _names_of(files: list[Path], path: Path) -> dict[str, Path | None]:
    """Return what may name each file: its path from the folder, else its name, with the ending or without.

    A name of several files leads to None.
    """
    names: dict[str, Path | None] = {}
    for shorten in (lambda file: file.name, lambda file: file.stem):
        counts = Counter(map(shorten, files))
        for file in files:
            names.setdefault(shorten(file), file if counts[shorten(file)] == 1 else None)
    without_ending = {file.relative_to(path).with_suffix("").as_posix(): file for file in files if file.parent != path}
    return names | without_ending | {file.relative_to(path).as_posix(): file for file in files}


def _other_columns(columns: list[str], file_column: str, table: Path) -> tuple[str, str | None]:
    """Return the columns of labels and of the split (None if there is none)."""
    others = [column for column in columns if column != file_column and not column.startswith("Unnamed:")]
    split = next((column for column in others if column.strip().lower() in _SPLIT_COLUMNS), None)
    others = [column for column in others if column != split]
    named = [column for column in others if column.strip().lower() in _LABEL_COLUMNS]
    choice = named if len(named) == 1 else others
    if len(choice) != 1:
        raise ImageFolderError(
            f"{table} has the columns {', '.join(columns)}: which one is the label? Name it label, or keep two "
            "columns, the file and its label. (One column for each class, or several classes a picture, are not read.)"
        )
    return choice[0], split


def _split_in(value: str, table: Path) -> str:
    split = split_of_name(value)
    if split is None:
        raise ImageFolderError(f"{table}: {value!r} is no split. Wanted is train, validation or test.")
    return split
