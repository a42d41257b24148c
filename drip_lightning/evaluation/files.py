"""The results of single pictures as a table for other programs."""

import csv
import io
from collections.abc import Sequence

from drip_lightning.evaluation.measure import metric_names
from drip_lightning.evaluation.summary import RowResult
from drip_lightning.nn.metrics import Region
from drip_lightning.ops.strata import STRATA


def per_image_csv(rows: Sequence[RowResult], region: Region) -> str:
    """One line for each row, seed and picture; raw values, empty where there is none.

    After the metrics come the seconds it took, and for each stratum of the true alpha its pixels and its SAD.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    names = metric_names(region)
    strata = [name for stratum in STRATA for name in (f"{stratum}_pixels", f"{stratum}_alpha_sad")]
    place = ["row", "seed", "key", "height", "width", "unknown_pixels"]
    writer.writerow([*place, *names, "seconds", "steps", *strata])
    for one in rows:
        result, scores = one.result, one.scores
        where = [one.row, *(result[name] for name in place[1:])]  # type: ignore[literal-required]
        metrics = [scores["metrics"].get(name, "") for name in names]
        errors = [
            value for name in STRATA for value in (scores["strata"][name]["pixels"], scores["strata"][name]["absolute"])
        ]
        steps = "" if result["steps"] is None else result["steps"]
        writer.writerow([*where, *metrics, result["seconds"], steps, *errors])
    return stream.getvalue()
