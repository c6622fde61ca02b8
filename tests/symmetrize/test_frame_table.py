"""One table of frames for wrapper, decorator, suite and list; a frame of one's own works wherever a name does."""

import subprocess
import sys

import pytest
import torch

import geoequiv as ge
from geoequiv import catalog
from geoequiv.errors import ConfigError, GroupError
from geoequiv.symmetrize import FRAMES, LearnedFrame, MinimalFrame, PCAFrame, StochasticFrame
from geoequiv.symmetrize.frames import frame_by_name
from geoequiv.testing import assert_equivariant, assert_frame_laws

MINE = '''
"""A frame written as CONTRIBUTING says: a frozen class that names its own options and nothing else."""

from dataclasses import dataclass

import torch

from geoequiv.groups import Element
from geoequiv.ranges import PositiveFloat
from geoequiv.symmetrize import Frame


@dataclass(frozen=True)
class FarthestFrame(Frame):
    """Gram-Schmidt of the point farthest from the centroid and the sum of cubes; for generic clouds under SE(3)."""

    power: PositiveFloat = 2.0

    def __call__(self, fields, side="pos: point", layout=None, *, training=False):
        pos = fields["pos"] if isinstance(fields, dict) else fields
        centre = pos.mean(-2)
        x = pos - centre.unsqueeze(-2)
        length = x.norm(dim=-1)
        first = x.gather(-2, length.argmax(-1)[..., None, None].expand(*x.shape[:-2], 1, 3)).squeeze(-2)
        first = first / first.norm(dim=-1, keepdim=True)
        other = (length.unsqueeze(-1) ** self.power * x).sum(-2)
        other = other - (other * first).sum(-1, keepdim=True) * first
        other = other / other.norm(dim=-1, keepdim=True)
        axes = torch.stack([first, other, first.cross(other, dim=-1)], -1)
        return Element(axes.unsqueeze(0), centre.unsqueeze(0)), None


@dataclass(frozen=True)
class NoOptions(FarthestFrame):
    power: float = 2.0

    def __init__(self, group):
        object.__setattr__(self, "group", group)


def no_frame(group):
    return 3
'''
SIGNATURE = "pos: point, vel: vector -> pos: point, force: vector"
SUITE = """\
name: mine
task: {{name: nbody/charged, train: 16, val: 8, test: 8}}
train: {{epochs: 1, batch_size: 8}}
entries:
  - model: {{name: gnn, width: 8, depth: 1}}
    symmetry: {{frame_averaging: {{group: SE(3), frame: {frame}}}}}
"""


def model(pos, vel):
    return pos + vel.roll(1, -1) * pos.norm(dim=-1, keepdim=True), pos.roll(1, -1).sin() * vel


def clouds(items=4):
    generator = torch.Generator().manual_seed(0)
    draw = lambda: torch.randn(items, 6, 3, generator=generator, dtype=torch.float64)  # noqa: E731
    return {"pos": draw() + 3, "vel": draw()}


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """The name of a module that holds a user's frame, in the current folder and nowhere else."""
    (tmp_path / "my_frames.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield "my_frames"
    sys.modules.pop("my_frames", None)


SPECS = ["{}:FarthestFrame", {"name": "{}:FarthestFrame", "power": 3.0}]
SPECS += [{"name": "stochastic", "of": spec} for spec in SPECS]


def filled(spec, module):
    if isinstance(spec, dict):
        return {key: filled(value, module) for key, value in spec.items()}
    return spec.format(module) if isinstance(spec, str) else spec


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_a_frame_of_ones_own_in_wrapper_and_decorator(mine, spec):
    spec = filled(spec, mine)
    wrapped = ge.FrameAveraging(model, SIGNATURE, "SE(3)", spec).eval()
    decorated = ge.frame_averaging(SIGNATURE, "SE(3)", spec)(model)
    x = clouds()
    for each in (wrapped, decorated):
        assert_equivariant(each, x, SIGNATURE, "SE(3)")
    assert torch.equal(wrapped(**x)[0], decorated(**x)[0])
    assert_frame_laws(wrapped.frame, x, SIGNATURE)
    bare = ge.equivariance_error(model, x, SIGNATURE, "SE(3)", num_samples=4)
    assert bare.relative > 0.1


@pytest.mark.parametrize("spec", ["{}:FarthestFrame", "{{name: stochastic, of: '{}:FarthestFrame'}}"])
def test_a_frame_of_ones_own_in_a_suite(mine, tmp_path, spec):
    from geoequiv.bench.runner import build, load_task
    from geoequiv.bench.suite import read_suite
    from geoequiv.session import Session

    path = tmp_path / "suite.yaml"
    path.write_text(SUITE.format(frame=spec.format(mine)))
    (run,) = read_suite(path).runs
    task = load_task(run, Session(data_dir=tmp_path / "data"))
    averaged, _ = build(run, task)
    x = {name: value[:4].double() for name, value in task.splits["test"].inputs.items()}
    assert_equivariant(averaged.double().eval(), x, task.signature, "SE(3)")
    path.write_text(SUITE.format(frame=f"{{name: '{mine}:FarthestFrame', powr: 3}}"))
    with pytest.raises(ConfigError, match=r"suite.yaml, line 6, key '.*frame\.powr': .*Did you mean 'power'"):
        read_suite(path)
    path.write_text(SUITE.format(frame=f"{{name: '{mine}:FarthestFrame', power: -1}}"))
    with pytest.raises(ConfigError, match=r"\.power'.*greater than 0"):
        read_suite(path)


def test_what_is_wrong_with_it_is_said(mine):
    def make(frame, **options):
        return ge.FrameAveraging(model, SIGNATURE, "SE(3)", frame, **options)

    make(f"{mine}:NoOptions")
    with pytest.raises(GroupError, match="takes no options, got 'tolerance'"):
        make(f"{mine}:NoOptions", tolerance=1e-6)
    with pytest.raises(GroupError, match=r"Unknown option of frame '.*' 'degenerate'.*Available: power"):
        make(f"{mine}:FarthestFrame", degenerate="error")
    with pytest.raises(GroupError, match=r"must make a Frame of a group, but makes a int"):
        make(f"{mine}:no_frame")
    with pytest.raises(GroupError, match=r"Unknown object in 'my_frames' 'Farthest'\. Did you mean 'FarthestFrame'"):
        make(f"{mine}:Farthest")
    with pytest.raises(GroupError, match=r"Your own frame is written 'package\.module:Class'"):
        make("my_frames.FarthestFrame")
    with pytest.raises(GroupError, match="degenerate goes to the frame itself"):
        make(PCAFrame(ge.group("SE(3)")), degenerate="ignore")
    with pytest.raises(GroupError, match="Option 'tolerance' of frame 'pca': expected a valid number"):
        make("pca", tolerance="small")
    with pytest.raises(GroupError, match="threshold lies in"):
        make({"name": "weighted", "threshold": float("nan")})


def test_stochastic_of_a_name_is_that_frame_in_evaluation():
    x = clouds()
    for of in ("minimal", {"name": "weighted", "threshold": 0.5}, PCAFrame(ge.group("SE(3)"))):
        stochastic = frame_by_name({"name": "stochastic", "of": of}, ge.group("SE(3)"))
        whole, weights = frame_by_name(of, ge.group("SE(3)"))(x, "pos: point, vel: vector")
        found, found_weights = stochastic(x, "pos: point, vel: vector")
        assert torch.equal(found.linear, whole.linear)
        assert (weights is None) == (found_weights is None)
        drawn, none = stochastic(x, "pos: point, vel: vector", training=True)
        assert none is None
        assert drawn.shape == (1, 4)
        assert bool((drawn.linear == whole.linear).flatten(-2).all(-1).any(0).all())


def test_stochastic_draws_by_the_weights():
    """Frequencies of 4000 draws for one cloud agree with the weights of the frame, to 5 standard errors."""
    group, n = ge.group("SO(3)"), 4000
    pos, of = clouds(1)["pos"] - 3, {"name": "weighted", "threshold": 0.3}
    whole, weights = frame_by_name(of, group)(pos)
    stochastic = StochasticFrame(group, of=of, generator=torch.Generator().manual_seed(1))
    drawn, _ = stochastic(pos.expand(n, -1, -1), training=True)
    same = (drawn.linear[0, :, None] - whole.linear[:, 0]).abs().amax((-1, -2)) < 1e-9  # [n, F]
    assert bool((same.sum(1) == 1).all())
    share = same.double().mean(0)
    error = (weights[:, 0] * (1 - weights[:, 0]) / n).sqrt()
    assert len(weights) > 2
    assert bool(((share - weights[:, 0]).abs() <= 5 * error + 1e-12).all())


def test_stochastic_takes_the_options_of_the_frame_that_it_draws_from():
    group = ge.group("E(3)")
    assert StochasticFrame(group, tolerance=1e-3).of == PCAFrame(group, tolerance=1e-3)
    assert StochasticFrame(group, "minimal", frame_from=["pos"]).of == MinimalFrame(group, frame_from=("pos",))
    with pytest.raises(GroupError, match="Unknown option of frame 'sorting' 'frame_from'"):
        StochasticFrame(ge.group("S(4)"), "sorting", frame_from=["pos"])


def test_a_learned_frame_inside_another_is_trained_and_saved():
    learned = LearnedFrame(ge.group("SO(3)"))
    averaged = ge.FrameAveraging(model, "pos: point, vel: vector -> pos: point, force: vector", "SE(3)",
                                 {"name": "stochastic", "of": "learned"})  # fmt: skip
    assert len(list(averaged.parameters())) == len(list(learned.parameters())) > 0
    assert all(key.startswith("frame.part.") for key in averaged.state_dict())
    averaged(**{name: value.float() for name, value in clouds().items()})[1].sum().backward()
    assert all(parameter.grad is not None for parameter in averaged.parameters())
    product = frame_by_name("learned", ge.group("SO(3)*Ci"))
    assert len(list(product.parameters())) == len(list(learned.parameters()))


def test_one_table_lists_them_without_torch():
    assert catalog.names("frame") == tuple(FRAMES)
    assert all(catalog.load("frame", name) is FRAMES[name] for name in FRAMES)
    code = "import sys; from geoequiv import catalog; assert catalog.names('frame'); assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
