"""The charged system equals the public loop bit for bit, and its task states what the labels are worth."""

import math

import numpy as np
import pytest
import torch

from geoequiv.errors import ConfigError, DataError
from geoequiv.tasks.nbody_charged import charged, charged_id, simulate
from geoequiv.tasks.protocols import references_of
from geoequiv.tasks.simulation import charged_system
from geoequiv.tasks.simulation.charged_system import DT, INPUT_STEP, TARGET_STEP, PairForces, advance, initial_states

SIZES = {"train": 60, "val": 1, "test": 1}


@pytest.fixture(scope="module")
def start():
    return initial_states(SIZES, seed=43)


@pytest.mark.parametrize("item", range(4))
def test_component_variant_equals_the_loop_bit_for_bit(component, loop, item):
    stream = np.random.RandomState(43)
    for _ in range(item):
        loop.draw_in_loop(stream)
    charge, x, v = loop.draw_in_loop(stream)
    frames = loop.run_in_loop(charge, x, v)
    split = component.splits["train"]
    np.testing.assert_array_equal(split.inputs["charge"][item].numpy(), charge)
    np.testing.assert_array_equal(split.inputs["pos"][item].numpy(), frames[30][0].T)
    np.testing.assert_array_equal(split.inputs["vel"][item].numpy(), frames[30][1].T)
    np.testing.assert_array_equal(split.targets["pos"][item].numpy(), frames[40][0].T)


def test_every_set_starts_where_the_stream_of_the_loop_stands(loop):
    stream, sizes = np.random.RandomState(43), {"train": 1, "val": 1, "test": 1}
    states, drawn = initial_states(sizes, seed=43), [loop.draw_in_loop(stream)]
    for skipped in (10_000, 2_000):
        for _ in range(skipped - 1):
            loop.draw_in_loop(stream)
        drawn.append(loop.draw_in_loop(stream))
    for item, (charge, x, v) in enumerate(drawn):
        np.testing.assert_array_equal(states.charge[:, item], charge[:, 0])
        np.testing.assert_array_equal(states.pos[..., item], x)
        np.testing.assert_array_equal(states.vel[..., item], v)


def test_isotropic_variant_equals_its_loop(isotropic, loop):
    """To 1e-9: the twin forms the clamped force in another order; these four trajectories are not chaotic."""
    stream = np.random.RandomState(43)
    for item in range(4):
        frames = loop.run_in_loop(*loop.draw_in_loop(stream), clamp="isotropic")
        np.testing.assert_allclose(isotropic.splits["train"].inputs["pos"][item], frames[30][0].T, atol=1e-9)
        np.testing.assert_allclose(isotropic.splits["train"].targets["pos"][item], frames[40][0].T, atol=1e-9)


@pytest.mark.parametrize("variant", ["component", "isotropic"])
def test_clamp_events_are_those_of_the_loop(variant, component, isotropic, loop):
    split = {"component": component, "isotropic": isotropic}[variant].splits["test"]
    marked = split.marks["clamp_event"]
    chosen = [int(torch.nonzero(marked)[0]), int(torch.nonzero(~marked)[0])]
    for item in chosen:
        x, v = (split.inputs[name][item].numpy().T for name in ("pos", "vel"))
        charge, largest = split.inputs["charge"][item].numpy(), 0.0
        x, v = x.copy(), v.copy()
        for _ in range(1000):
            force, before = loop.force_in_loop(charge, x, variant)
            largest = max(largest, before)
            v += 0.001 * force
            x += 0.001 * v
        assert (largest > 100) == bool(marked[item])
        np.testing.assert_allclose(x.T, split.targets["pos"][item], atol=1e-6)


def test_frames_are_those_of_the_protocol():
    assert (INPUT_STEP, TARGET_STEP) == ((30 + 1) * 100, (40 + 1) * 100)  # frame 0 is step 100


def test_a_run_continues_from_a_recorded_state_bit_for_bit(start):
    whole, _ = advance(start, 300, "component")
    half, _ = advance(start, 120, "component")
    joined, _ = advance(half, 180, "component")
    np.testing.assert_array_equal(whole.pos, joined.pos)
    np.testing.assert_array_equal(whole.vel, joined.vel)


def test_blocks_do_not_change_the_result(start, monkeypatch):
    whole, clamped = advance(start, 200, "component")
    monkeypatch.setattr(charged_system, "BLOCK", 7)
    parts, also = advance(start, 200, "component")
    np.testing.assert_array_equal(whole.pos, parts.pos)
    np.testing.assert_array_equal(clamped, also)


def test_items_do_not_depend_on_the_sizes(component):
    arrays = simulate({"train": 2, "val": 1, "test": 5}, 43, "component")
    for split, size in (("train", 2), ("val", 1), ("test", 5)):
        np.testing.assert_array_equal(arrays[f"{split}_target"], component.splits[split].targets["pos"][:size])


def test_seeds(component, data_dir, tmp_path):
    again = charged(tmp_path, train=4, val=3, test=120, dtype="float64")
    assert again.checksum == component.checksum
    other = charged(data_dir, train=4, val=3, test=3, seed=44)
    assert other.checksum != component.checksum
    assert not torch.equal(other.splits["val"].inputs["pos"].double(), component.splits["val"].inputs["pos"])


def test_initial_distribution(start):
    """5 × 62 particles: each statistic within 4 standard errors."""
    particles = start.charge.size
    assert set(np.unique(start.charge)) == {-1.0, 1.0}
    assert abs(start.charge.mean()) < 4 / math.sqrt(particles)
    assert abs(start.pos.mean()) < 4 / math.sqrt(3 * particles)
    assert abs(start.pos.var() - 1) < 4 * math.sqrt(2 / (3 * particles))
    assert abs(start.vel.mean()) < 4 * 0.5 / math.sqrt(3) / math.sqrt(3 * particles)
    np.testing.assert_allclose(np.linalg.norm(start.vel, axis=0), 0.5, atol=1e-12)


def test_initial_positions_are_reflected_once_into_the_box(start, monkeypatch):
    monkeypatch.setattr(charged_system, "BOX", 1.5)  # at the true 5 standard deviations hardly any is reflected
    inside = initial_states(SIZES, seed=43)
    over, under = start.pos > 1.5, start.pos < -1.5
    assert over.any()
    assert under.any()
    np.testing.assert_array_equal(inside.pos[over], 3.0 - start.pos[over])
    np.testing.assert_array_equal(inside.pos[under], -3.0 - start.pos[under])
    assert (inside.vel[over] <= 0).all()
    assert (inside.vel[under] >= 0).all()
    np.testing.assert_array_equal(inside.vel[~(over | under)], start.vel[~(over | under)])


def test_momentum_is_conserved_where_nothing_is_clamped(start):
    end, clamped = advance(start, 1000, "component")
    drift = np.abs(end.vel.sum(axis=1) - start.vel.sum(axis=1)).max(axis=0)
    assert 0 < clamped.sum() < clamped.size
    assert drift[~clamped].max() < 1e-10


def test_energy_drift_is_small_where_nothing_is_clamped(start):
    """Symplectic Euler at Δt = 0.001: the median drift of energy is below 1 % of the mean kinetic energy."""

    def energy(states):
        pairs = [(i, j) for i in range(5) for j in range(i)]
        potential = sum(
            states.charge[i] * states.charge[j] / np.linalg.norm(states.pos[:, i] - states.pos[:, j], axis=0)
            for i, j in pairs
        )
        return 0.5 * np.square(states.vel).sum(axis=(0, 1)) + potential

    end, clamped = advance(start, 500, "component")
    kinetic = 0.5 * np.square(end.vel).sum(axis=(0, 1)).mean()
    assert np.median(np.abs(energy(end) - energy(start))[~clamped]) < 0.01 * kinetic


def test_like_charges_repel_with_inverse_square_force():
    charge, x = np.array([[1.0, 1.0], [1.0, -1.0]]), np.zeros((3, 2, 2))
    x[0, 1] = 2.0
    force = PairForces(charge, "component")(x)
    np.testing.assert_allclose(force[0], [[-0.25, 0.25], [0.25, -0.25]])
    np.testing.assert_array_equal(force[1:], 0.0)


def test_the_two_clamps_by_hand():
    charge, x = np.ones((2, 1)), np.zeros((3, 2, 1))
    x[:, 1, 0] = 0.03, 0.04, 0.0  # distance 0.05: force 400 along (0.6, 0.8)
    peak = np.zeros(1)
    np.testing.assert_allclose(PairForces(charge, "component")(x, peak)[:, 1, 0], [100, 100, 0])
    np.testing.assert_allclose(peak, 320)
    peak = np.zeros(1)
    np.testing.assert_allclose(PairForces(charge, "isotropic")(x, peak)[:, 1, 0], [60, 80, 0])
    np.testing.assert_allclose(peak, 400)
    assert DT == 0.001


def test_shapes_and_meta(component):
    split = component.splits["val"]
    assert {name: list(tensor.shape) for name, tensor in split.inputs.items()} == {
        "pos": [3, 5, 3], "vel": [3, 5, 3], "charge": [3, 5, 1],
    }  # fmt: skip
    assert list(split.targets["pos"].shape) == [3, 5, 3]
    assert str(component.signature) == "pos: point, vel: vector, charge: scalar -> pos: point"
    assert (component.name, component.symmetry) == ("nbody/charged", "E(3)")


def test_single_precision_by_default(data_dir):
    split = charged(data_dir, train=4, val=3, test=120).splits["test"]
    assert {tensor.dtype for tensor in (*split.inputs.values(), *split.targets.values())} == {torch.float32}


def test_protocol_ids():
    sizes = {"train": 3000, "val": 2000, "test": 2000}
    assert charged_id("component", sizes, 43) == "nbody/charged/Δ1000/3000-2000-2000/mse"
    assert charged_id("isotropic", sizes, 43) == "nbody/charged-isotropic/Δ1000/3000-2000-2000/mse"
    assert charged_id("component", {**sizes, "train": 500}, 43) == "nbody/charged/Δ1000/500-2000-2000/mse"
    assert charged_id("component", sizes, 7) == "nbody/charged/Δ1000/3000-2000-2000/mse/seed7"


def test_published_numbers_belong_to_the_published_protocol_only(component, isotropic):
    assert component.references == isotropic.references == ()
    published = references_of("nbody/charged/Δ1000/3000-2000-2000/mse")
    by_model = {reference.model: reference for reference in published}
    assert (by_model["EGNN"].value, by_model["EGNN"].state) == (0.0071, "P")
    assert {reference.model for reference in published if reference.state == "M"} == {
        "CEGNN", "Canonicalization", "EGNO",
    }  # fmt: skip
    assert all(reference.source for reference in published)


def test_labels_of_the_component_variant_are_not_equivariant(component):
    error = component.symmetry_error()
    assert error["num_items"] == 120
    assert error["median"] < 1e-24
    assert error["floor"] == error["mse"] / 2 > 1e-5
    assert error["with_clamp"] > 100 * error["without_clamp"]
    assert 0 < error["fraction_above_1e-4"] <= component.splits["test"].marks["clamp_event"].double().mean()


def test_labels_of_the_isotropic_variant_are_equivariant(isotropic):
    error = isotropic.symmetry_error()
    assert error["median"] < 1e-24
    assert error["mse"] < 1e-12
    assert error["fraction_above_1e-4"] == 0


def test_symmetry_error_is_kept_beside_the_data(component, data_dir, monkeypatch):
    first = component.symmetry_error()
    monkeypatch.setattr("geoequiv.tasks.nbody_charged.label_symmetry_error", None)  # would fail if called
    assert charged(data_dir, train=4, val=3, test=120).symmetry_error() == first


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "isotropi"}, r"Unknown variant 'isotropi'\. Did you mean 'isotropic'\?"),
        ({"train": 0}, "train must lie between 1 and 10000 .*stream of the public data.* got 0"),
        ({"train": 10_001}, "train must lie between 1 and 10000"),
        ({"test": 2_001}, "test must lie between 1 and 2000"),
        ({"val": 1.5}, r"val must be a whole number, got 1\.5"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"dtype": "float23"}, r"Unknown dtype 'float23'\. Did you mean 'float32'\?"),
    ],
)
def test_bad_options_are_named(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        charged(tmp_path, **options)


def test_a_truncated_file_is_named_and_simulated_again(tmp_path):
    first = charged(tmp_path, train=1, val=1, test=1)
    (path,) = tmp_path.glob("*.npz")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.warns(UserWarning, match=f"Damaged data file: {path}"):
        assert charged(tmp_path, train=1, val=1, test=1).checksum == first.checksum


def test_an_unwritable_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"Cannot write data file .*nbody-charged-.*GEOEQUIV_DATA"):
        charged(tmp_path / "file")
