"""`geoequiv run --compile` reaches the session, whose `compile` is part of a run's identity."""

from geoequiv.cli.arguments import session_of
from geoequiv.cli.command import make_parser


def test_compile_reaches_the_session() -> None:
    parser = make_parser()
    assert session_of(parser.parse_args(["run", "suite.yaml", "--compile"])).compile is True
    assert session_of(parser.parse_args(["run", "suite.yaml"])).compile is False
