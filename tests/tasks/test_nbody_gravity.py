"""The gravity system follows its stated distribution and Newton's laws; its out-of-distribution splits are paired."""

import math

import numpy as np
import pytest
import torch

from geoequiv.errors import ConfigError
from geoequiv.tasks.nbody_gravity import gravity, gravity_id, placed_systems, rotations
from geoequiv.tasks.protocols import PROTOCOLS, references_of
from geoequiv.tasks.simulation import gravity_system
from geoequiv.tasks.simulation.gravity_system import DT, Systems, accelerations, accepted, draw_systems, evolve

N = 2000


@pytest.fixture(scope="module")
def systems():
    return draw_systems(np.random.default_rng(0), N)


def star_first(systems):
    """The systems with the star as object 0, and the planets' masses, positions and velocities."""
    star = systems.mass.argmax(axis=1)
    rows = np.arange(len(star))
    planet = np.ones_like(systems.mass, dtype=bool)
    planet[rows, star] = False
    parts = [array[planet].reshape(len(star), 3, *array.shape[2:]) for array in systems]
    return [array[rows, star] for array in systems], parts


def test_accelerations_equal_a_loop(systems):
    mass, pos = systems.mass[:5], systems.pos[:5]
    expected = np.zeros_like(pos)
    for n in range(5):
        for i in range(4):
            for j in range(4):
                if i != j:
                    line = pos[n, j] - pos[n, i]
                    expected[n, i] += mass[n, j] * line / np.linalg.norm(line) ** 3
    np.testing.assert_allclose(accelerations(mass, pos), expected, rtol=1e-12)


def test_steps_are_velocity_first(systems):
    few = systems.rows(slice(3))
    pos, vel = evolve(few, steps=1)
    np.testing.assert_allclose(vel, few.vel + DT * accelerations(few.mass, few.pos), rtol=1e-12)
    np.testing.assert_allclose(pos, few.pos + DT * vel, rtol=1e-12)


def test_blocks_do_not_change_the_result(systems, monkeypatch):
    few = systems.rows(slice(20))
    whole = evolve(few)[0]
    monkeypatch.setattr(gravity_system, "BLOCK", 7)
    np.testing.assert_array_equal(evolve(few)[0], whole)


def test_momentum_is_conserved_and_energy_drifts_little(systems):
    def momentum(mass, vel):
        return (mass[..., None] * vel).sum(axis=1)

    def energy(mass, pos, vel):
        potential = -sum(
            mass[:, i] * mass[:, j] / np.linalg.norm(pos[:, i] - pos[:, j], axis=-1) for i in range(4) for j in range(i)
        )
        return 0.5 * (mass * np.square(vel).sum(axis=-1)).sum(axis=1) + potential

    pos, vel = evolve(systems)
    np.testing.assert_allclose(momentum(systems.mass, vel), momentum(systems.mass, systems.vel), atol=1e-11)
    before, after = energy(systems.mass, systems.pos, systems.vel), energy(systems.mass, pos, vel)
    assert np.median(np.abs(after / before - 1)) < 1e-3


def test_initial_distribution(systems):
    """N = 2000 systems: each statistic within 4 standard errors."""
    (star_mass, star_pos, star_vel), (mass, pos, vel) = star_first(systems)
    radius = np.linalg.norm(pos, axis=-1)
    assert not star_pos.any()
    assert not star_vel.any()
    assert not pos[..., 2].any()
    for values, (low, high) in ((star_mass, (1, 10)), (mass, (0.01, 0.1)), (radius, (0.1, 1))):
        assert values.min() >= low * (1 - 1e-12)
        assert values.max() <= high * (1 + 1e-12)
    decade = 1 / math.sqrt(12)  # log10 of a log-uniform mass is uniform on an interval of length 1
    assert abs(np.log10(star_mass).mean() - 0.5) < 4 * decade / math.sqrt(N)
    assert abs(np.log10(mass).mean() + 1.5) < 4 * decade / math.sqrt(3 * N)
    # uniform by area: r² is uniform on [0.01, 1]
    assert abs(np.square(radius).mean() - 0.505) < 4 * 0.99 * decade / math.sqrt(3 * N)
    assert abs((pos / radius[..., None]).mean()) < 4 / math.sqrt(9 * N)
    sense = np.cross(pos, vel)[..., 2] > 0
    assert abs(sense.mean() - 0.5) < 4 * 0.5 / math.sqrt(3 * N)


def test_planets_are_on_circular_orbits_up_to_noise(systems):
    (star_mass, *_), (_, pos, vel) = star_first(systems)
    radius = np.linalg.norm(pos, axis=-1, keepdims=True)
    tangent = np.cross([0.0, 0.0, 1.0], pos / radius)
    sense = np.sign((tangent * vel).sum(axis=-1, keepdims=True))
    noise = vel - sense * tangent * np.sqrt(star_mass[:, None, None] / radius)
    assert np.abs(noise).max() < 0.01 * 6
    assert abs(noise.std() / 0.01 - 1) < 4 / math.sqrt(2 * noise.size)


def test_the_star_may_be_any_object(systems):
    counts = np.bincount(systems.mass.argmax(axis=1), minlength=4)
    assert np.abs(counts - N / 4).max() < 4 * math.sqrt(N * 3 / 16)


def test_systems_with_a_far_moving_object_are_rejected(systems):
    few = systems.rows(slice(2))
    vel = few.vel.copy()
    vel[1, 2] = [0.0, 0.0, 100.0]  # moves about 10 within t = 0.1
    assert accepted(Systems(few.mass, few.pos, vel)).tolist() == [True, False]


def test_splits_hold_accepted_systems_of_the_stated_sizes(remul):
    assert {name: len(split) for name, split in remul.splits.items()} == {
        "train": 60, "val": 40, "test": 200, "test_rotated": 200, "test_shifted": 200,
    }  # fmt: skip
    for split in remul.splits.values():
        assert (split.targets["pos"] - split.inputs["pos"]).norm(dim=-1).max() <= 2 + 1e-9
        assert split.inputs["mass"].shape[1:] == (4, 1)


def test_shifted_split_is_the_test_split_moved_along_x(remul, gatr):
    for task in (remul, gatr):
        test, shifted = task.splits["test"], task.splits["test_shifted"]
        shift = torch.tensor([200.0, 0.0, 0.0], dtype=torch.float64)
        torch.testing.assert_close(shifted.inputs["pos"], test.inputs["pos"] + shift)
        torch.testing.assert_close(shifted.inputs["vel"], test.inputs["vel"])
        torch.testing.assert_close(shifted.targets["pos"], test.targets["pos"] + shift, atol=1e-6, rtol=0)


def test_rotated_split_holds_the_same_systems(remul):
    test, rotated = remul.splits["test"], remul.splits["test_rotated"]
    torch.testing.assert_close(rotated.inputs["mass"], test.inputs["mass"])
    for side in ("inputs", "targets"):
        a, b = (torch.cdist(x, x) for x in (getattr(test, side)["pos"], getattr(rotated, side)["pos"]))
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


def tilt(split):
    """Angle in degrees between each orbital plane and the x-y plane, 0 … 90."""
    star = split.inputs["mass"][..., 0].argmax(dim=1)
    pos = split.inputs["pos"] - split.inputs["pos"][torch.arange(len(star)), star][:, None]
    normal = torch.linalg.svd(pos).Vh[:, -1]
    return torch.rad2deg(torch.acos(normal[:, 2].abs().clamp(max=1)))


def test_orientations_in_and_out_of_distribution(remul, gatr):
    assert tilt(remul.splits["test"]).max() <= 10 + 1e-6
    assert tilt(remul.splits["test_rotated"]).max() > 60
    # Haar: the normal is uniform on the sphere, so |cos| has mean 1/2 and variance 1/12
    cosine = torch.cos(torch.deg2rad(tilt(gatr.splits["train"])))
    assert abs(cosine.mean() - 0.5) < 4 / math.sqrt(12 * len(cosine))


@pytest.mark.parametrize("degrees", [(0.0, 10.0), (90.0, 180.0)])
def test_rotations_by_a_bounded_angle(degrees):
    """The angle is uniform in its bounds, the axis uniform on the sphere: within 4 standard errors for n = 2000."""
    matrices = rotations(np.random.default_rng(0), N, degrees)
    np.testing.assert_allclose(
        matrices @ np.swapaxes(matrices, 1, 2), np.broadcast_to(np.eye(3), (N, 3, 3)), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(matrices), 1.0)
    angle = np.degrees(np.arccos(np.clip((np.trace(matrices, axis1=1, axis2=2) - 1) / 2, -1, 1)))
    low, high = degrees
    assert angle.min() >= low - 1e-6
    assert angle.max() <= high + 1e-6
    assert abs(angle.mean() - (low + high) / 2) < 4 * (high - low) / math.sqrt(12 * N)
    skew = matrices - np.swapaxes(matrices, 1, 2)
    axis = np.stack([skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]], axis=1) / (2 * np.sin(np.radians(angle)))[:, None]
    assert np.abs(axis.mean(axis=0)).max() < 4 / math.sqrt(3 * N)


def test_haar_rotations_average_to_zero():
    matrices = rotations(np.random.default_rng(0), N, None)
    np.testing.assert_allclose(np.linalg.det(matrices), 1.0)
    assert np.abs(matrices.mean(axis=0)).max() < 4 / math.sqrt(3 * N)


def test_translations_have_the_stated_spread():
    systems = placed_systems("gatr", "train", N, seed=0)
    centre = systems.pos[np.arange(N), systems.mass.argmax(axis=1)]
    assert abs(centre.std() / 20 - 1) < 4 / math.sqrt(2 * 3 * N)
    assert np.abs(centre.mean(axis=0)).max() < 4 * 20 / math.sqrt(N)


def test_training_sets_are_nested():
    few, many = (placed_systems("gatr", "train", size, seed=3) for size in (5, 1200))
    for a, b in zip(few, many, strict=True):
        np.testing.assert_array_equal(a, b[:5])
    assert len(np.unique(many.mass[:, 0])) == 1200


def test_seeds_and_splits_differ_and_reproduce(remul, tmp_path):
    again = gravity(tmp_path, train=60, val=40, test=200)
    assert again.checksum == remul.checksum
    assert gravity(tmp_path, train=60, val=40, test=200, seed=1).checksum != remul.checksum
    masses = [remul.splits[name].inputs["mass"][:40] for name in ("train", "val", "test")]
    assert not any(torch.isin(a, b).any() for a, b in ((masses[0], masses[1]), (masses[1], masses[2])))


def test_labels_are_equivariant_up_to_round_off(remul, gatr):
    for task in (remul, gatr):
        error = task.symmetry_error()
        assert error["median"] < 1e-24
        assert error["mse"] < 1e-12
        assert error["num_items"] == len(task.splits["test"])
        assert "with_clamp" not in error


def test_shapes_and_meta(remul):
    assert str(remul.signature) == "pos: point, vel: vector, mass: scalar -> pos: point"
    assert (remul.name, remul.symmetry) == ("nbody/gravity", "E(3)")
    assert all(not split.marks for split in remul.splits.values())


def test_protocol_ids_and_their_published_numbers(remul, gatr):
    def sizes(train):
        return {"train": train, "val": 5000, "test": 5000}

    ids = [gravity_id("remul", sizes(100), 0), gravity_id("gatr", sizes(1000), 0)]
    assert ids == [each.id for each in PROTOCOLS.values() if each.task == "nbody/gravity"]
    assert ids == ["nbody/gravity/remul/Δ100/100-5000-5000/mse", "nbody/gravity/gatr/Δ100/1000-5000-5000/mse"]
    assert gravity_id("gatr", sizes(100), 1) == "nbody/gravity/gatr/Δ100/100-5000-5000/mse/seed1"
    assert {reference.state for reference in references_of(ids[0])} == {"S"}
    assert {reference.state for reference in references_of(ids[1])} == {"P"}
    assert remul.references == gatr.references == ()  # reduced sizes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": "gtar"}, r"Unknown protocol 'gtar'\. Did you mean 'gatr'\?"),
        ({"train": 100_001}, r"train must lie between 1 and 100000 \(the largest published training set\), got 100001"),
        ({"test": 0}, "test must lie between 1 and"),
        ({"val": "many"}, "val must be a whole number, got 'many'"),
    ],
)
def test_bad_options_are_named(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        gravity(tmp_path, **options)
