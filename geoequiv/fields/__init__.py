"""Typed fields: signatures, batches, and the action of a group on them."""

from geoequiv.fields.action import act, act_on_field, merge_replicas, replicate, split_replicas
from geoequiv.fields.calling import BoundCall, call_model
from geoequiv.fields.declared import layout_of, read_inputs
from geoequiv.fields.graphs import named_fields
from geoequiv.fields.layout import Layout, check_finite, finite_where_hidden, item_text
from geoequiv.fields.norms import item_squares
from geoequiv.fields.outputs import extra_outputs, name_outputs, restore_outputs, with_channels
from geoequiv.fields.signature import Side, Signature
from geoequiv.fields.types import UNSIGNED, FieldType
from geoequiv.fields.unsigned import projected, projected_side, projected_signature

__all__ = [
    "UNSIGNED",
    "BoundCall",
    "FieldType",
    "Layout",
    "Side",
    "Signature",
    "act",
    "act_on_field",
    "call_model",
    "check_finite",
    "extra_outputs",
    "finite_where_hidden",
    "item_squares",
    "item_text",
    "layout_of",
    "merge_replicas",
    "name_outputs",
    "named_fields",
    "projected",
    "projected_side",
    "projected_signature",
    "read_inputs",
    "replicate",
    "restore_outputs",
    "split_replicas",
    "with_channels",
]
