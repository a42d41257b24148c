"""`drip`: finds the verb, and turns a `DripError` into one line and an exit status."""

import errno
import importlib
import os
import sys

from drip_lightning import __version__, lean
from drip_lightning.errors import DripError, ExitStatus, Stopped

HELP = """\
usage: drip VERB …

Diffusion-prior image matting: foreground colour and alpha matte from a picture and a trimap.

train and evaluate
  fit         train a stage: autoencoder, denoiser or transparency decoder
  plan        what a training will cost: memory, operations, hours, disk
  validate    score a stage on the evaluation shards
  test        measure checkpoints and baselines on evaluation shards, in one table
  predict     matte the evaluation shards, for callbacks or Python
  sweep       ablations × seeds → runs → one table
  report      tables, curves and pictures of a sweep, again
  configs     copy the shipped configurations out

data
  synth       draw procedural training data: no download, no licence
  prepare     make shards of your own pictures, or of a published set
  data        look after folders of shards and what is drawn from them: check, show …

use
  matte       cut objects out of pictures with a trained checkpoint
  demo        the same on a page in the browser, with brushes
  trimap      trimaps of masks and mattes; what is doubtful about a trimap
  export      a trained checkpoint as one self-contained folder

Every verb explains itself: drip VERB --help. DRIP_TRACEBACK=1 in the environment shows where an error came from.
"""

MODULES = dict.fromkeys(("fit", "validate", "predict"), "fit") | {
    "plan": "plan",
    "test": "test",
    "synth": "synth",
    "prepare": "prepare",
    "data": "data.main",
    "matte": "matte",
    "demo": "demo.main",
    "trimap": "trimap",
    "export": "export",
    "sweep": "sweep",
    "report": "report",
    "configs": "configs",
}


_DISK_IS_FULL = {errno.ENOSPC, errno.EDQUOT}
"""A disk can be full for whoever writes, a library included; no other `OSError` is expected here."""


def main() -> None:
    """Entry point of the console command."""
    lean.is_own_process = sys.argv[1:2] == ["matte"]
    # the Hub's client would report what runs here, and wait for a silent Hub to learn how
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run `drip` with these arguments.

    Returns:
        The exit status: an `ExitStatus`, 130 when interrupted, 128 + the signal's number when a signal stopped the run.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(HELP, end="")
        return 0 if arguments else 2
    verb = arguments[0]
    if verb == "--version":
        print(f"drip_lightning {__version__}")
        return 0
    if verb not in MODULES:
        print(f"drip: no verb {verb!r}, expected one of {', '.join(MODULES)} (see `drip --help`)", file=sys.stderr)
        return 2
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # configurations and checkpoints may name classes of a module there
    module = importlib.import_module(f"drip_lightning.cli.{MODULES[verb]}")
    try:
        return module.main(arguments if MODULES[verb] == "fit" else arguments[1:])
    except Stopped as stop:
        print(f"drip {verb}: {stop}", file=sys.stderr)
        return 128 + stop.signal_number
    except (DripError, OSError) as error:
        if not isinstance(error, DripError) and error.errno not in _DISK_IS_FULL:
            raise
        if os.environ.get("DRIP_TRACEBACK"):
            raise
        print(f"drip {verb}: {_one_line(error)}", file=sys.stderr)
        return ExitStatus.FAILED
    except KeyboardInterrupt:
        print(f"drip {verb}: interrupted", file=sys.stderr)
        return 130


def _one_line(error: DripError | OSError) -> str:
    """The message alone: an error from a data worker comes wrapped in that process's traceback."""
    if isinstance(error, OSError):
        return f"cannot write {error.filename or 'a file'} ({error.strerror}): free some space and run it again"
    lines = str(error).strip().splitlines()
    return lines[-1].removeprefix(f"{type(error).__module__}.{type(error).__qualname__}: ")
