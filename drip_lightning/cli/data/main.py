"""`drip data ACTION`: finds the action, each in a file of its own."""

import importlib
import sys

ACTIONS = {
    "check": ("check", "verify folders of shards against their index"),
    "show": ("show", "draw training samples again from their numbers"),
    "cache-latents": ("cache_latents", "sample the transparency decoder's training latents once"),
}
"""Action to its module in this package, imported when it is wanted, and its line in the help."""

HELP = """\
usage: drip data ACTION …

Look after folders of shards.

{actions}

Every action explains itself: drip data ACTION --help.
"""


def main(arguments: list[str]) -> int:
    """Run `drip data`.

    Args:
        arguments: What follows `drip data` on the command line.

    Returns:
        The exit status of the action; 2 for a wrong command line.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        width = max(map(len, ACTIONS)) + 2
        print(HELP.format(actions="\n".join(f"  {name:{width}}{line}" for name, (_, line) in ACTIONS.items())), end="")
        return 0 if arguments else 2
    action = arguments[0]
    if action not in ACTIONS:
        expected = ", ".join(ACTIONS)
        print(f"drip data: no action {action!r}, expected one of {expected} (see `drip data --help`)", file=sys.stderr)
        return 2
    return importlib.import_module(f"drip_lightning.cli.data.{ACTIONS[action][0]}").main(arguments[1:])
