"""Typed fields: signatures, batches, and the action of a group on them."""

from geoequiv.fields.action import act, fold, replicate, turn, unfold
from geoequiv.fields.calling import Call, call_model, invoke, name_outputs, restore_outputs
from geoequiv.fields.layout import Layout, check_finite, finite_where_hidden, item_text
from geoequiv.fields.norms import item_squares
from geoequiv.fields.signature import Side, Signature
from geoequiv.fields.types import FieldType

__all__ = [
    "Call",
    "FieldType",
    "Layout",
    "Side",
    "Signature",
    "act",
    "call_model",
    "check_finite",
    "finite_where_hidden",
    "fold",
    "invoke",
    "item_squares",
    "item_text",
    "name_outputs",
    "replicate",
    "restore_outputs",
    "turn",
    "unfold",
]
