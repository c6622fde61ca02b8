"""``geoequiv check``: a certificate of symmetry for any importable model."""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geoequiv.cli.arguments import RAW, Commands, chosen_options, common, computing, positive, session_of
from geoequiv.cli.completion import completes, groups, models
from geoequiv.errors import GeoequivError
from geoequiv.files import write_file
from geoequiv.precision import MIXED

if TYPE_CHECKING:
    from geoequiv.metrics import Certificate

COLOURS = {"exact": "green", "approximate": "yellow", "broken": "red"}
CHECK = """\
Measure how equivariant a model is, and say so in a certificate. Exit status 0 if no relative error is above the
tolerance, 1 if one is, 2 if the check could not be made.

MODEL is package.module:object, imported from the current folder or the environment (which runs its code), or a name of
`geoequiv list models`. A class, or a function that makes models, is called with the --option values, and with the
signature if it takes one; any other function is the model itself. Without --weights a model has its random ones.
"""
EXAMPLES = """\
examples:
  geoequiv check egnn --signature "pos: point, vel: vector -> pos: point" --group "E(3)"
  geoequiv check my_package.nets:Net --signature "pos: point -> energy: scalar per graph" --group "SE(3)" \\
      --option width=64 --weights net.pt --inputs clouds.npz
  geoequiv check torch_geometric.nn:PointNetConv --signature "x: scalar*4, pos: point -> y: scalar*7" --group "T(3)" \\
      --layout ragged --edges radius:1.5
  geoequiv check my_package.nets:Net --signature "pos: point -> energy: scalar per graph" --group "E(3)" \\
      --input z=int:1..9 --json certificate.json --plots figures

Inputs are drawn from a normal distribution unless --inputs gives some: named arrays of an .npz file, or a dict of
tensors of a .pt file; `batch`, `mask` and `edge_index` are passed on to models that take them.
"""


def add(commands: Commands) -> None:
    """Add the command."""
    check = commands.add_parser(
        "check", parents=[common(), computing()], help="certify the symmetry of any importable model",
        description=CHECK, epilog=EXAMPLES, formatter_class=RAW,
    )  # fmt: skip
    completes(
        check.add_argument("model", metavar="MODEL", help="package.module:object, or a name of `geoequiv list models`"),
        models,
    )
    check.add_argument("--signature", required=True, metavar="TEXT", help='such as "pos: point -> energy: scalar"')
    completes(
        check.add_argument(
            "--group", required=True, metavar="NAME", help='such as "SE(3)"; see `geoequiv list groups`'
        ),
        groups,
    )
    check.add_argument(
        "--tolerance", type=_error, metavar="ERROR", help="largest relative error that passes (round-off of the dtype)"
    )
    check.add_argument("--samples", type=positive, metavar="M", help="group elements (all of a finite group, or 64)")
    check.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="(float32)")
    check.add_argument(
        "--precision", choices=("32", *MIXED), default="32", metavar="NAME",
        help="of the model's products: 32 (as --dtype says), bf16-mixed or 16-mixed (32)",
    )  # fmt: skip
    check.add_argument("--seed", type=int, default=0, help="of random weights, inputs and group elements (0)")
    model = check.add_argument_group("model")
    model.add_argument("--option", action="append", default=[], metavar="KEY=VALUE", help="for the constructor; repeat")
    model.add_argument("--weights", type=Path, metavar="FILE.pt", help="state dict to load")
    inputs = check.add_argument_group("inputs")
    inputs.add_argument("--inputs", type=Path, metavar="FILE", help=".npz or .pt of named arrays; else drawn")
    inputs.add_argument("--items", type=positive, default=64, metavar="N", help="clouds to draw (64)")
    inputs.add_argument("--points", type=positive, default=16, metavar="N", help="points of a cloud (16)")
    inputs.add_argument("--scale", type=_error, default=1.0, metavar="LENGTH", help="standard deviation of points (1)")
    inputs.add_argument("--layout", choices=("dense", "ragged", "graph"), default="dense", help="graph: PyG (dense)")
    inputs.add_argument("--edges", metavar="KIND", help="edge_index: complete, or radius:R")
    inputs.add_argument(
        "--input", action="append", default=[], metavar="NAME=int:A..B", help="whole numbers, one per node; repeat"
    )
    output = check.add_argument_group("output")
    output.add_argument(
        "--json", nargs="?", const="-", metavar="FILE", help="the certificate as JSON; without FILE, instead of text"
    )
    output.add_argument("--plots", type=Path, metavar="DIR", help="figures by angle, axis and layer (matplotlib)")
    check.set_defaults(command=_check)


def _check(options: argparse.Namespace) -> int:
    import torch

    from geoequiv.cli.subject import load_model, load_weights, on_device
    from geoequiv.fields import Signature
    from geoequiv.groups import group
    from geoequiv.metrics import certify
    from geoequiv.precision import arithmetic, casting

    kinds = {name: "pass" for name, _ in map(_integers, options.input)}  # of nodes, by --input
    signature, acting = Signature.parse(options.signature, kinds), group(options.group)
    signature.check_group(acting)
    dtype, session = getattr(torch, options.dtype), session_of(options)
    usual = torch.get_default_dtype()
    torch.set_default_dtype(dtype)  # constants that a model makes are as precise as its weights
    try:
        torch.manual_seed(options.seed)
        model = load_model(options.model, signature, chosen_options(options.option, "width=64"))
        if options.weights:
            load_weights(model, options.weights)
        if isinstance(model, torch.nn.Module):
            model = model.to(session.torch_device, dtype)
        inputs = on_device(_inputs(options, signature, acting.dim, dtype), session.torch_device)
        with arithmetic("32", session.torch_device), casting(model, options.precision):
            certificate = certify(
                model, inputs, signature, acting, num_samples=options.samples, seed=options.seed,
                tolerance=options.tolerance, name=options.model,
            )  # fmt: skip
    except GeoequivError:
        raise
    except Exception as error:  # whatever the model raises: it is not ours
        if options.debug:
            raise
        raise GeoequivError(
            f"'{options.model}' failed on these inputs: {type(error).__name__}: {error}. --debug shows where."
        ) from error
    finally:
        torch.set_default_dtype(usual)
    _tell(certificate, options)
    return 0 if certificate.passed else 1


def _inputs(options: argparse.Namespace, signature: Any, dim: int, dtype: Any) -> Any:
    import torch

    from geoequiv.cli.subject import read_inputs
    from geoequiv.testing.inputs import random_inputs

    if options.inputs:
        return read_inputs(options.inputs, dtype, options.layout)
    return random_inputs(
        signature, options.items, options.points, layout=options.layout, edges=options.edges,
        integers=dict(map(_integers, options.input)), scale=options.scale, dim=dim, dtype=dtype,
        generator=torch.Generator().manual_seed(options.seed),
    )  # fmt: skip


def _tell(certificate: "Certificate", options: argparse.Namespace) -> None:
    """Print and write the certificate, then draw: what is measured is not lost where nothing can be drawn."""
    from geoequiv.report.json_document import finite

    text = json.dumps(finite(certificate.as_dict()), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if options.json == "-":
        sys.stdout.write(text)
    else:
        _print(certificate)
    written = []
    if options.json and options.json != "-":
        write_file(Path(options.json), text, "the certificate")
        print(f"Wrote {options.json}")
    if options.plots:
        from geoequiv.report.figures.certificate import certificate_figures
        from geoequiv.report.figures.style import save

        written = [save(each, options.plots / f"{name}.svg") for name, each in certificate_figures(certificate).items()]
    for path in written if options.json != "-" else ():
        print(f"Wrote {path}")


def _print(certificate: "Certificate") -> None:
    """The certificate as a table, its lines in their fixed order."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for name, text in certificate.lines():
        if not text:
            table.title, table.title_justify, table.title_style = name, "left", "bold"
            continue
        shown = Text(text)
        if name == "verdict":
            shown.stylize(f"bold {COLOURS[certificate.verdict]}", 0, len(certificate.verdict))
        table.add_row(name, shown)
    Console(highlight=False, markup=False).print(table)


def _integers(text: str) -> tuple[str, tuple[int, int]]:
    found = re.fullmatch(r"(\w+)=int:(-?\d+)\.\.(-?\d+)", text)
    if not found or int(found[2]) > int(found[3]):
        raise GeoequivError(f"Expected NAME=int:LOWEST..HIGHEST, such as z=int:1..9; got '{text}'.")
    return found[1], (int(found[2]), int(found[3]))


def _error(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a positive number, got '{text}'")
    return number
