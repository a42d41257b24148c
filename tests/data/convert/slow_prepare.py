"""A conversion that takes its time, to be killed: `python -m tests.data.convert.slow_prepare SOURCE OUT`."""

import sys
import time
from pathlib import Path

from drip_lightning.data.convert.conversion import convert
from drip_lightning.data.convert.foregrounds import Foregrounds

if __name__ == "__main__":
    source, out = map(Path, sys.argv[1:])
    convert(
        Foregrounds(sources=(source,), codec="png"),
        out,
        samples_per_shard=2,
        workers=1,
        advance=lambda done, total: (print(done, flush=True), time.sleep(0.004))[1],
    )
