"""Loss and metrics of tasks that ask for one of several classes; targets are one-hot."""

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional as F

from geoequiv.tasks.task import Metric


def cross_entropy(prediction: Tensor, target: Tensor) -> Tensor:
    """−log softmax of the class that is meant, averaged over the items; logits and one-hot targets ``[n, classes]``."""
    return F.cross_entropy(prediction, target)


def accuracy_per_item(predictions: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
    """1 for items whose largest logit is that of their class, else 0: ``[n]``, float64."""
    ((name, target),) = targets.items()
    return (predictions[name].argmax(-1) == target.argmax(-1)).double()


def cross_entropy_per_item(predictions: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
    """Cross-entropy of each item in nats: ``[n]``, float64."""
    ((name, target),) = targets.items()
    return F.cross_entropy(predictions[name].double(), target.double(), reduction="none")


ACCURACY = Metric("accuracy", "", "higher", accuracy_per_item)
CROSS_ENTROPY = Metric("cross_entropy", "nats", "lower", cross_entropy_per_item)
