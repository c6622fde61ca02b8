"""Training: options, the resumable loop on Lightning (imported only when a training starts), evaluation."""

from typing import TYPE_CHECKING

from geoequiv.importing import lazy_names

if TYPE_CHECKING:
    from geoequiv.training.config import TrainConfig
    from geoequiv.training.evaluate import predict, score
    from geoequiv.training.fitting import fit
    from geoequiv.training.progress import FitResult
else:  # imported on first use: options are checked without torch
    __getattr__ = lazy_names(
        __name__,
        {
            "FitResult": "progress",
            "TrainConfig": "config",
            "fit": "fitting",
            "predict": "evaluate",
            "score": "evaluate",
        },
    )

__all__ = ["FitResult", "TrainConfig", "fit", "predict", "score"]
