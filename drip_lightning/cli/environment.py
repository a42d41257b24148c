"""Settings from the environment: `DRIP_FIT__DATA__NUM_WORKERS=8` is `drip fit --data.num_workers=8`.

Not jsonargparse's own way, in which a configuration file wins over the environment: the files of a run name every key.
"""

import os
from collections.abc import Sequence


def settings_of_environment(verb: str) -> dict[str, str]:
    """What the environment sets for a verb: the name of each variable, and the word of a command line it stands for."""
    prefix = f"DRIP_{verb.upper()}__"
    return {
        name: f"--{name.removeprefix(prefix).lower().replace('__', '.')}={value}"
        for name, value in sorted(os.environ.items())
        if name.startswith(prefix)
    }


def with_environment(arguments: Sequence[str]) -> list[str]:
    """A verb's arguments with what the environment sets: over the configurations they begin with, under what follows.

    Args:
        arguments: The verb and what follows it; nothing stays nothing.
    """
    words = list(settings_of_environment(arguments[0]).values()) if arguments else []
    place = 1
    while place < len(arguments) and arguments[place].partition("=")[0] == "--config":
        place += 1 if "=" in arguments[place] else 2
    configs = [word for word in words if word.startswith("--config=")]
    others = [word for word in words if word not in configs]
    return [*arguments[:1], *configs, *arguments[1:place], *others, *arguments[place:]]
