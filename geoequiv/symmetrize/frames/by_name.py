"""A frame by its name, by the path of a class of one's own, or with options."""

import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any

from pydantic.errors import PydanticUserError

from geoequiv.config import mismatch
from geoequiv.errors import GeoequivError, GroupError, unknown
from geoequiv.groups import Group
from geoequiv.groups.orthogonal import AxialGroup
from geoequiv.groups.product import factors_of
from geoequiv.importing import import_object
from geoequiv.symmetrize.frames.axial import AxialFrame, planar_group
from geoequiv.symmetrize.frames.frame import Frame
from geoequiv.symmetrize.frames.parameters import with_parameters
from geoequiv.symmetrize.frames.product import product_frame
from geoequiv.symmetrize.frames.table import FRAMES

#: options that a frame takes from the wrapper, where it names them
FRAME_OPTIONS = ("degenerate", "tolerance", "frame_from")
#: what a suite may write: a name, "module:object", or either with options
FrameSpec = str | dict | Frame


def frame_by_name(frame: FrameSpec, group: Group, **options: Any) -> Frame:
    """A frame of a group.

    >>> from geoequiv.groups import group
    >>> frame_by_name({"name": "sorting", "budget": 100}, group("S(5)")).budget
    100

    About an axis, the frame is one of the plane perpendicular to it; of a product, it frames one factor, and the
    average runs over the others. A frame that is made for such a group itself is used as it is.

    Args:
        frame: a name of ``FRAMES``, ``"module:object"`` of your own, ``{"name": …, **options}`` with either, or a
            ``Frame`` of this group, which passes through.
        group: the group to be equivariant to.
        options: of the frame. Each must be one that the frame names.

    Raises:
        GroupError: an unknown frame or option, a value that does not fit, or a group that the frame is not made for.
    """
    if isinstance(frame, Frame):
        if options:
            option = next(iter(options))
            raise GroupError(
                f"{option} goes to the frame itself where one is given: {type(frame).__name__}(group, {option}=…)."
            )
        if frame.group != group:
            raise GroupError(f"The frame is one of {frame.group}, the averaging asks for {group}.")
        return frame
    name: Any = frame
    if isinstance(frame, Mapping):
        name = frame.get("name")
        options |= {key: value for key, value in frame.items() if key != "name"}
    build = frame_class(name)
    check_names(name, build, options)
    return with_parameters(frame_of(group, lambda part: built(name, build, part, options)))


def frame_class(name: Any) -> Callable[..., Any]:
    """What makes a frame by this name: called with a group and the frame's options.

    Raises:
        GroupError: it is unknown, or cannot be imported.
    """
    if isinstance(name, str) and name in FRAMES:
        return FRAMES[name]
    if isinstance(name, type):
        todo = "it must be a subclass of geoequiv.symmetrize.Frame"
        if issubclass(name, Frame):
            todo = f"build it ({name.__name__}(group))"
        raise GroupError(f"frame= takes a Frame or a name, got the class {name.__name__}: {todo}.")
    if not isinstance(name, str):
        raise GroupError(f"frame= takes a Frame or a name, got {name!r} of type {type(name).__name__}.")
    if ":" not in name:
        raise GroupError(f"{unknown('frame', name, FRAMES)} Your own frame is written 'package.module:Class'.")
    try:
        found = import_object("frame", name)
    except GeoequivError as error:
        raise GroupError(str(error)) from error
    if isinstance(found, Frame) or not callable(found):
        raise GroupError(f"'{name}' must be a class (or a function) that makes a Frame of a group; got {found!r}.")
    return found


def check_names(name: str, build: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Raise GroupError for an option that the frame does not name."""
    parameters = inspect.signature(build).parameters.values()
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return
    known = [each.name for each in parameters if each.name != "group"]
    for option in options:
        if option not in known:
            if not known:
                raise GroupError(f"Frame '{name}' takes no options, got '{option}'.")
            raise GroupError(unknown(f"option of frame '{name}'", str(option), known))


def frame_of(group: Group, build: Callable[[Group], Frame]) -> Frame:
    """A frame of the group itself where one is made for it; else of the plane across an axis, or of one factor."""
    try:
        return build(group)
    except GroupError:
        if isinstance(group.linear_part, AxialGroup):
            return AxialFrame(group, build(planar_group(group)))
        if len(factors_of(group)) > 1:
            return product_frame(group, lambda part: frame_of(part, build))
        raise


def built(name: str, build: Callable[..., Any], group: Group, options: Mapping[str, Any]) -> Frame:
    """The frame, with options whose values fit their types.

    Raises:
        GroupError: a value does not fit, the frame refuses the group or an option, or what is built is no frame.
    """
    problem = None
    try:
        frame = build(group, **options)
    except (TypeError, ValueError) as error:
        if isinstance(error, GeoequivError):
            raise
        frame, problem = None, error
    for option, annotation in types_of(build).items():
        message = why_not(annotation, options[option]) if option in options else None
        if message:
            raise GroupError(f"Option '{option}' of frame '{name}': {message}")
    if problem is not None:
        raise GroupError(f"Frame '{name}' cannot be made for {group}: {problem}.") from problem
    if not isinstance(frame, Frame):
        raise GroupError(f"'{name}' must make a Frame of a group, but makes a {type(frame).__name__}.")
    return frame


def types_of(build: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a constructor's or function's parameters; none where they cannot be resolved."""
    try:
        return typing.get_type_hints(build.__init__ if inspect.isclass(build) else build, include_extras=True)
    except (NameError, TypeError, AttributeError, SyntaxError):
        return {}


def why_not(annotation: Any, value: Any) -> str | None:
    """Why a value does not fit; ``None`` if it does, or where there is no telling (a type of torch's)."""
    try:
        return mismatch(annotation, value)
    except (PydanticUserError, TypeError, NameError):
        return None
