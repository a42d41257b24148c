"""The progress bar of long work: on standard error, where it disturbs no result, and only for someone who looks."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def progress_bar() -> Progress:
    """A bar with a description, `done/total` and the time that is left; it goes when the work is done."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(
        *columns,
        console=console,
        transient=True,
        disable=not console.is_terminal,
        redirect_stdout=sys.stdout.isatty(),  # what goes to a file or a pipe must not go to the bar's console
    )


@contextmanager
def parts_bar(progress: Progress, description: str) -> Iterator[Callable[[int, int], None]]:
    """Another bar beneath, for the parts of one piece of the work; it is told how many are done, and of how many."""
    task = progress.add_task(description, total=None)
    try:
        yield lambda done, total: progress.update(task, completed=done, total=total)
    finally:
        progress.remove_task(task)
