"""Masks of the object of a picture, for people who have none: by rembg's networks, which it downloads at first use."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from drip_lightning.errors import InputError, RunError, raised_as

MODEL = "isnet-general-use"
"""DIS (Apache-2.0): rembg's own default may not be used commercially."""


class Segmenter:
    """Finds what a picture shows, coarsely."""

    def __init__(self, model: str = MODEL) -> None:
        """Load a model, downloaded where it is not there yet.

        Args:
            model: One of rembg's names.

        Raises:
            InputError: rembg is missing, or has no such model, or one that sends pictures to a service.
            RunError: the model cannot be had.
        """
        try:
            import onnxruntime  # noqa: F401 - without it, importing rembg would end the process
            from rembg import new_session
            from rembg.sessions import sessions_class
        except ImportError as error:
            raise InputError("--mask auto needs rembg: pip install 'drip_lightning[auto]'") from error
        names = sorted(session.name() for session in sessions_class if session.is_local())
        if model not in names:
            raise InputError(f"--mask auto:{model}: expected one of {', '.join(names)}")
        advice = "connect once, or copy ~/.rembg from a machine that has it"
        # whatever downloads and loads: requests, pooch, onnxruntime
        with raised_as(
            RunError, Exception, message=lambda why: f"rembg cannot load its model {model} ({why}): {advice}"
        ):
            self._session = new_session(model)

    def mask(self, colour: NDArray[np.floating], *, name: str) -> NDArray[np.uint8]:
        """Where the object is.

        Args:
            colour: (H, W, 3) in sRGB, in [0, 1].
            name: What to call the picture in an error.

        Returns:
            (H, W), 0 to 255; the object is above mid-grey.

        Raises:
            InputError: none was found, or nothing else.
        """
        from rembg import remove

        picture = Image.fromarray(np.rint(colour * 255).astype(np.uint8))
        found = np.array(remove(picture, only_mask=True, session=self._session).convert("L"))
        is_object = found > 127
        if not is_object.any() or is_object.all():
            what = "nothing but object" if is_object.any() else "no object"
            raise InputError(f"{name}: rembg finds {what} in it, give a mask or trimap of your own")
        return found
