"""Before ranks train together: do they all run the same thing? They compare notes, or one line says what differs."""

import json
import os
import platform
import socket
import time
from collections.abc import Iterable, Mapping
from datetime import timedelta

import lightning
import torch
from jsonargparse import Namespace
from torch.distributed import DistError, PrefixStore, Store, TCPStore

from drip_lightning.errors import DripError, InputError, RunError
from drip_lightning.lit.provenance import code_hash, index_hash

Facts = Mapping[str, str]
"""What a rank knows of its run, by name, such as `trainer.max_steps`, `code`, `world size`."""

_SHOWN = 3
_VERDICT_GRACE_S = 10.0
"""How long the first rank stays for the others to read why they must exit."""


def facts_of_run(config: Namespace) -> Facts:
    """All that must be the same on every rank: the resolved configuration, the data's indices, code and libraries."""
    facts = {name: str(value) for name, value in vars(config.as_flat()).items() if name.split(".")[0] != "config"}
    for folder in ("foregrounds", "backgrounds", "evaluation"):
        facts[f"index of data.{folder}"] = index_hash(config.data.init_args[folder])
    facts["code of drip_lightning"] = code_hash()
    facts |= {"Python": platform.python_version(), "torch": torch.__version__, "lightning": lightning.__version__}
    return facts


def agree(facts: Facts, store: Store, *, rank: int, world_size: int) -> None:
    """Return on every rank if all of them know the same facts; otherwise every rank exits.

    The first rank compares, and says what differs. A rank of which it knows nothing, because it counts fewer ranks,
    compares for itself.

    Args:
        facts: This rank's.
        store: Where all ranks read and write; its timeout is how long they wait for each other.
        rank: This process's.
        world_size: How many ranks there are.

    Raises:
        InputError: on the first rank: a rank differs.
        RunError: on the first rank: a rank did not come in time.
        SystemExit: on the others: the first rank has said why.
    """
    facts = {**facts, "world size": str(world_size)}
    store.set(f"facts/{rank}", json.dumps({"host": socket.gethostname(), "facts": facts}))
    if rank:
        if _get(store, "verdict", rank=0, world_size=world_size) == "differ":
            store.add("heard", 1)
            raise SystemExit(1)
        complaint = _complaint(store, [rank], world_size=world_size)
    else:
        complaint = _complaint(store, range(world_size), world_size=world_size)
        store.set("verdict", "differ" if complaint else "agree")
        if complaint:
            _let_others_hear(store, world_size - 1)
    if complaint:
        raise complaint


def open_store(*, rank: int, address: str, port: int, timeout_s: float) -> Store:
    """Connect to the store that the process group will meet at, too; the first rank, or torchrun, keeps it.

    Raises:
        RunError: nobody keeps it at this address.
    """
    kept_by_torchrun = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    try:
        store = TCPStore(
            address,
            port,
            is_master=rank == 0 and not kept_by_torchrun,
            timeout=timedelta(seconds=timeout_s),
            wait_for_workers=False,
            multi_tenant=True,  # the process group opens it again at this port
        )
    except DistError as error:
        raise RunError(
            f"rank {rank} on {socket.gethostname()} did not find rank 0 at {address}:{port} within {timeout_s:g} s: "
            "does it run, and is MASTER_ADDR a name or address of its node that resolves here?"
        ) from error
    return PrefixStore(f"drip/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)


def _complaint(store: Store, others: Iterable[int], *, world_size: int) -> DripError | None:
    """The first rank that differs from rank 0, or does not come; nothing if all agree."""
    try:
        for other in others:
            if difference := _difference(store, 0, other, world_size=world_size):
                return InputError(difference)
    except RunError as error:
        return error
    return None


def _difference(store: Store, first: int, second: int, *, world_size: int) -> str:
    """What two ranks do not agree on, in one line; nothing if they do."""
    ranks = (first, second)
    notes = [json.loads(_get(store, f"facts/{rank}", rank=rank, world_size=world_size)) for rank in ranks]
    known, other = (note["facts"] for note in notes)
    differing = [name for name in sorted({*known, *other}) if known.get(name) != other.get(name)]
    if not differing:
        return ""
    told = [f"{name} is {other.get(name, 'unknown')}, not {known.get(name, 'unknown')}" for name in differing[:_SHOWN]]
    more = f"; and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
    where, here = (f"rank {rank} on {note['host']}" for rank, note in zip(ranks, notes, strict=True))
    return f"{here} differs from {where}: {'; '.join(told)}{more}"


def _get(store: Store, key: str, *, rank: int, world_size: int) -> str:
    try:
        return store.get(key).decode()
    except DistError as error:
        seconds = store.timeout.total_seconds()  # type: ignore[attr-defined]
        raise RunError(
            f"rank {rank} of {world_size} did not come within {seconds:g} s: is it started, and does it reach rank 0?"
        ) from error


def _let_others_hear(store: Store, others: int) -> None:
    deadline = time.monotonic() + _VERDICT_GRACE_S
    while store.add("heard", 0) < others and time.monotonic() < deadline:
        time.sleep(0.05)
