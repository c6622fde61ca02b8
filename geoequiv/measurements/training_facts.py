"""What a training says of itself: its seconds, its epochs, its learning rate, its best validation."""

from geoequiv.measurements.measurement import Measured, Reading, Subject


def training_facts(subject: Subject) -> Measured:
    """Numbers of a training that has come to its end."""
    outcome = subject.training
    assert outcome is not None, "the model has not been trained"
    facts = {
        "seconds/train": outcome.train_seconds,
        "validation/best": outcome.best_validation,
        "epochs/best": outcome.best_epoch,
        "epochs/run": outcome.epochs_run,
        "lr": subject.train.get("lr"),
    }
    return Measured({key: Reading(value) for key, value in facts.items() if value is not None})
