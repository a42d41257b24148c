"""What a factor's value changes in a stage: keys that it sets, and overlays, of which no two may write one key."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from drip_lightning.choices import path_of
from drip_lightning.errors import InputError
from drip_lightning.sweep.settings import FactorValue, as_word

Keys = tuple[str, ...]


def settings_of_stages(
    values: Sequence[FactorValue], bases: Mapping[str, Mapping[str, Any]], *, stages: Collection[str]
) -> dict[str, dict[str, str]]:
    """Find the stages whose keys a run's factor values set.

    Args:
        values: One of each factor.
        bases: Each of the run's stages to its configuration without them.
        stages: Every stage of the sweep.

    Returns:
        Stage to whole keys, `init_args` put in where it was left out, and their values as words of a command line.

    Raises:
        InputError: no stage of the run has a key, or two factors set one.
    """
    found: dict[str, dict[str, str]] = {name: {} for name in bases}
    for key, value in (item for one in values for item in one.set.items()):
        first, _, rest = key.partition(".")
        wanted = {first: rest} if first in stages else dict.fromkeys(bases, key)
        wholes = {name: _whole_key(bases[name], own) for name, own in wanted.items() if name in bases}
        if not any(wholes.values()):
            raise InputError(f"no stage of the run has the key {key}, which a factor sets")
        for name, whole in wholes.items():
            if whole in found[name]:
                raise InputError(f"two factors both set {whole}: no run can have both")
            if whole is not None:
                found[name][whole] = as_word(value)
    return found


def check_overlays(
    overlays: Sequence[str], *, base: Mapping[str, Any], settings: Collection[str] = (), own: Collection[str] = ()
) -> None:
    """Check overlays that are laid over one stage together.

    Configurations are merged key by key, so of two overlays that write one key the later silently wins.

    Args:
        overlays: YAML files, none of them a stage's whole configuration.
        base: What they are laid over.
        settings: Keys that are set over them.
        own: Keys that the sweep itself sets.

    Raises:
        InputError: two of them write the same key, or one writes a key of the sweep's own.
    """
    writes = [(path, _written_keys(yaml.safe_load(Path(path).read_text()) or {}, base)) for path in overlays]
    writes += [(f"set {name}", iter([tuple(name.split("."))])) for name in settings]
    written: dict[Keys, str] = {}
    for path, key in ((path, key) for path, keys in writes for key in keys):
        name = ".".join(key)
        if name in own:
            raise InputError(f"{path} writes {name}, which the sweep sets: take it out")
        for other, by in written.items():
            shorter = min(len(key), len(other))
            if by != path and key[:shorter] == other[:shorter]:
                longer = ".".join(key if len(key) > len(other) else other)
                raise InputError(f"{by} and {path} both write {longer}: no run can have both")
        written[key] = path


def _whole_key(config: Any, key: str) -> str | None:
    """A key's path, `init_args` put in where it is left out; nothing if the configuration has no such key."""
    whole = []
    for part in key.split("."):
        if isinstance(config, Mapping) and part not in config and "init_args" in config:
            whole.append("init_args")
            config = config["init_args"]
        if not isinstance(config, Mapping) or part not in config:
            return None
        whole.append(part)
        config = config[part]
    return ".".join(whole)


def _written_keys(content: Any, base: Any, above: Keys = ()) -> Iterator[Keys]:
    """Every key that holds a value; a swapped class is one value with all that is below it."""
    if not isinstance(content, Mapping) or _swaps(content, base):
        yield above
        return
    if _below(base, key := "init_args") is not None and not {key, "class_path"} & content.keys():
        yield from _written_keys(content, base[key], (*above, key))  # as files may leave it out
        return
    for key, value in content.items():
        if key != "class_path":  # it is the base's
            yield from _written_keys(value, _below(base, key), (*above, str(key)))


def _swaps(content: Mapping[str, Any], base: Any) -> bool:
    if "class_path" not in content:
        return False
    below = _below(base, "class_path")
    return below is None or path_of(content["class_path"]) != path_of(below)


def _below(base: Any, key: str) -> Any:
    return base.get(key) if isinstance(base, Mapping) else None
