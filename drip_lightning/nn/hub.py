"""Exported models on the Hugging Face Hub: fetched by name, and published."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from drip_lightning.errors import DripError, InputError, RunError, reason_of
from drip_lightning.nn.export_index import CARD, INDEX, read_index
from drip_lightning.nn.sources import hub_problem

_ID = re.compile(r"(?P<name>[\w.-]+/[\w.-]+?)(?:@(?P<revision>[\w./-]+))?")


def is_hub_id(place: str | os.PathLike[str]) -> bool:
    """Whether a place is `USER/NAME` or `USER/NAME@REVISION`, and nothing of this machine's."""
    path = Path(place)
    is_here = path.exists() or path.parent.is_dir() or path.suffix == ".ckpt"
    return not is_here and _ID.fullmatch(os.fspath(place)) is not None


def local_folder(place: str | os.PathLike[str], *, revision: str | None = None) -> Path:
    """Where a model is on this machine: the place itself, or what is fetched from the Hub under its name.

    Nothing is asked of the Hub where HF_HUB_OFFLINE is set; there, and where it does not answer, an earlier download
    serves. Of a model those files alone are fetched that its index lists.

    Args:
        place: A file or folder, or `USER/NAME[@REVISION]` on the Hub.
        revision: Of the Hub's, where the place names none: a branch, tag or commit; none for the newest.

    Returns:
        Of the Hub's, a folder that is named by its commit.

    Raises:
        InputError: the Hub has no such model, or it is not of this package.
        RunError: it cannot be fetched now.
    """
    if not is_hub_id(place):
        return Path(place)
    found = _ID.fullmatch(os.fspath(place))
    assert found is not None
    name, revision = found["name"], found["revision"] or revision
    is_offline = constants.HF_HUB_OFFLINE or hub_problem() is not None
    with _told(name, revision):
        index = Path(hf_hub_download(name, INDEX, revision=revision, local_files_only=is_offline))
        commit, files = index.parent.name, read_index(index.parent)["drip"]["files"]
        fetched = snapshot_download(
            name, revision=commit, allow_patterns=[INDEX, CARD, *files], local_files_only=is_offline
        )
        return Path(fetched)


def require_answer(place: str | os.PathLike[str]) -> None:
    """Refuse at once what `local_folder` could not give, for want of a Hub: before slow imports, or any work.

    Args:
        place: As `local_folder` takes it.

    Raises:
        InputError: the Hub does not answer, and there is no earlier download.
    """
    if is_hub_id(place) and hub_problem() is not None:
        local_folder(place)


def prepare_push(name: str) -> None:
    """Make a repository on the Hub if there is none yet, so that a later `push` is known to be allowed.

    Raises:
        InputError: it is no name, or HF_HUB_OFFLINE is set.
        RunError: the Hub does not answer, or does not allow it.
    """
    if _ID.fullmatch(name) is None or "@" in name:
        raise InputError(f"expected the name of a model on the Hub, as USER/NAME, got {name!r}")
    if constants.HF_HUB_OFFLINE:
        raise InputError(f"{name}: HF_HUB_OFFLINE is set, so nothing is sent to the Hub")
    if (problem := hub_problem()) is not None:
        raise RunError(f"{name}: the Hub cannot be reached ({problem})")
    with _told(name, None):
        HfApi().create_repo(name, exist_ok=True)


def push(folder: Path, name: str) -> str:
    """Upload what `drip export` wrote into a repository that `prepare_push` made.

    Returns:
        The commit, as hexadecimal digits.

    Raises:
        RunError: it fails on the way.
    """
    with _told(name, None):
        message = "Model by drip_lightning"
        return str(HfApi().upload_folder(repo_id=name, folder_path=folder, commit_message=message).oid)


@contextmanager
def _told(name: str, revision: str | None) -> Iterator[None]:
    """Say in one line what the Hub's client says in many, or not at all."""
    try:
        yield
    except DripError:
        raise
    except RevisionNotFoundError as error:
        raise InputError(f"{name}: the Hub has no revision {revision} of it") from error
    except RepositoryNotFoundError as error:
        raise InputError(
            f"{name}: no such file or folder, and the Hub has no such model, or not for you (`hf auth login`)"
        ) from error
    except LocalEntryNotFoundError as error:
        if constants.HF_HUB_OFFLINE:
            why = "HF_HUB_OFFLINE is set"
        elif (problem := hub_problem()) is not None:
            why = f"the Hub cannot be reached, {problem}"
        else:
            why = f"the Hub's answer cannot be used ({reason_of(error.__cause__ or error)})"
        raise InputError(
            f"{name}: no such file or folder, and {why}, and no earlier download of it is whole"
        ) from error
    except EntryNotFoundError as error:
        raise InputError(f"{name}: what the Hub has under this name was not written by `drip export`") from error
    except Exception as error:  # its HTTP client has kinds of its own
        status = getattr(getattr(error, "response", None), "status_code", None)
        advice = "log in with `hf auth login`" if status in (401, 403) else "try again"
        raise RunError(f"{name}: the Hub's answer cannot be used ({reason_of(error)}): {advice}") from error
