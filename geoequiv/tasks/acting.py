"""Whether a group that a user names can act on the data that the user has."""

from geoequiv.errors import BatchError, SignatureError
from geoequiv.fields import Signature
from geoequiv.groups import Group
from geoequiv.tasks.task import Split


def check_acting(acting: Group, signature: Signature, split: Split) -> None:
    """Raise SignatureError where a group acts in another space than that of the fields, or on more or fewer nodes."""
    signature.check_group(acting)
    for side, fields in ((signature.inputs, split.inputs), (signature.outputs, split.targets)):
        for name, kind in side.items():
            try:
                kind.trailing(fields[name], acting.dim, name)
            except BatchError as error:
                raise SignatureError(f"The symmetry {acting.name} does not fit the data. {error}") from error
            nodes = None if kind.per_graph else fields[name].shape[1]
            if acting.nodes is not None and nodes not in (None, acting.nodes):
                raise SignatureError(
                    f"The symmetry {acting.name} does not fit the data: it permutes {acting.nodes} nodes, and '{name}' "
                    f"has {nodes}."
                )
