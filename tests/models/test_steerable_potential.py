"""NequIP: forces are minus the gradient of an energy that ends smoothly at its cutoff."""

import pytest
import torch

from geoequiv.errors import BatchError, SignatureError
from geoequiv.models import NequIP
from geoequiv.models.layers.radial_basis import bessel, envelope

MOLECULE = "pos: point, charge: scalar -> energy: scalar per graph, forces: vector"
SMALL = {"width": 8, "depth": 2, "radial": 8}


def built(signature=MOLECULE, **options):
    torch.manual_seed(0)
    return NequIP(signature, **{**SMALL, "species": [1, 6, 8], **options}).double()


def molecules(batch=3, atoms=5):
    generator = torch.Generator().manual_seed(1)
    pos = torch.randn(batch, atoms, 3, generator=generator, dtype=torch.float64)
    charge = torch.tensor([1.0, 6.0, 8.0], dtype=torch.float64)
    return {"pos": pos, "charge": charge[torch.randint(0, 3, (batch, atoms, 1), generator=generator)]}


def test_forces_are_minus_the_gradient_by_finite_differences():
    model, batch = built(), molecules()
    forces, step = model(**batch)["forces"], 1e-5
    for atom, axis in [(0, 0), (2, 1), (4, 2)]:
        ends = []
        for sign in (1, -1):
            pos = batch["pos"].clone()
            pos[:, atom, axis] += sign * step
            ends.append(model(pos=pos, charge=batch["charge"])["energy"].squeeze(-1))
        torch.testing.assert_close(forces[:, atom, axis], (ends[1] - ends[0]) / (2 * step), rtol=1e-6, atol=1e-8)


def test_no_net_force_and_no_net_torque():
    batch = molecules()
    forces = built()(**batch)["forces"]
    assert float(forces.detach().norm()) > 1e-2
    torch.testing.assert_close(forces.sum(1), torch.zeros(3, 3, dtype=torch.float64), atol=1e-12, rtol=0)
    torque = torch.linalg.cross(batch["pos"], forces).sum(1)
    torch.testing.assert_close(torque, torch.zeros(3, 3, dtype=torch.float64), atol=1e-12, rtol=0)


def test_forces_do_not_need_gradients_to_be_on():
    model, batch = built(), molecules()
    expected = model(**batch)
    for off in (torch.no_grad, torch.inference_mode):
        with off():
            found = model(**{name: values.clone() for name, values in batch.items()})
        for name, values in expected.items():
            assert not found[name].requires_grad
            torch.testing.assert_close(found[name], values.detach())
    assert not batch["pos"].requires_grad


def test_a_loss_on_forces_trains_every_weight_that_they_depend_on():
    model, batch = built(), molecules()
    model(**batch)["forces"].square().sum().backward()
    silent = {name for name, weights in model.named_parameters() if weights.grad is None or not weights.grad.any()}
    assert silent == {"own.weight", "energy.2.bias"}  # they shift the energy


def test_padded_and_ragged_molecules_agree_and_energies_are_per_graph():
    model, batch = built(), molecules()
    sizes = torch.tensor([5, 1, 3])
    mask = torch.arange(5) < sizes.unsqueeze(-1)
    padded = model(**batch, mask=mask)
    index = torch.arange(3).repeat_interleave(sizes)
    ragged = model(**{name: values[mask] for name, values in batch.items()}, batch=index)
    assert padded["energy"].shape == ragged["energy"].shape == (3, 1)
    torch.testing.assert_close(padded["energy"], ragged["energy"])
    torch.testing.assert_close(padded["forces"][mask], ragged["forces"])
    assert not padded["forces"][~mask].any()
    alone = model(pos=batch["pos"][2, :3], charge=batch["charge"][2, :3])
    torch.testing.assert_close(alone["forces"], padded["forces"][2, :3])


def test_pairs_beyond_the_cutoff_can_be_left_out():
    model, batch = built(cutoff=1.5), molecules(1)
    pos, charge = batch["pos"][0], batch["charge"][0]
    near = torch.cdist(pos, pos) < 1.5
    edges = (near & ~torch.eye(5, dtype=torch.bool)).nonzero().T.flip(0)
    assert 0 < edges.shape[1] < 20
    found, expected = model(pos=pos, charge=charge, edge_index=edges), model(pos=pos, charge=charge)
    torch.testing.assert_close(found["energy"].squeeze(0), expected["energy"])
    torch.testing.assert_close(found["forces"], expected["forces"])


def test_energy_and_forces_are_continuous_at_the_cutoff():
    model = built(cutoff=2.0)
    charge = torch.tensor([[1.0], [8.0]], dtype=torch.float64)

    def at(distance):
        return model(pos=torch.tensor([[0.0, 0, 0], [distance, 0, 0]], dtype=torch.float64), charge=charge)

    apart, near, inside = at(3.0), at(2.0 - 1e-3), at(1.0)
    assert float((inside["energy"] - apart["energy"]).detach().abs()) > 1e-3
    assert float((near["energy"] - apart["energy"]).detach().abs()) < 1e-7
    assert float(near["forces"].detach().abs().max()) < 1e-4
    assert not apart["forces"].any()


def test_species_by_number_are_those_one_hot():
    batch = molecules()
    one_hot = (batch["charge"] == torch.tensor([1.0, 6.0, 8.0])).double()
    other = built(MOLECULE.replace("scalar ->", "scalar*3 ->"), species=None)
    expected = other(pos=batch["pos"], charge=one_hot)
    for name, values in built()(**batch).items():
        torch.testing.assert_close(values, expected[name])


def test_envelope_and_bessel_functions_by_hand():
    ends = torch.tensor([0.0, 2.0, 5.0], dtype=torch.float64)
    assert envelope(ends, 2.0).tolist() == [1.0, 0.0, 0.0]
    assert float(envelope(torch.tensor(1.0, dtype=torch.float64), 2.0)) == pytest.approx(
        1 - 28 / 64 + 48 / 128 - 21 / 256
    )
    middle = bessel(torch.tensor([1.0], dtype=torch.float64), 3, 2.0)  # sin(nπ/2)
    torch.testing.assert_close(middle, torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64))


@pytest.mark.parametrize(
    "signature",
    [
        "pos: point, vel: vector -> energy: scalar per graph",
        "pos: point, charge: scalar -> forces: vector",
        "pos: point -> energy: scalar, forces: vector*2",
        "pos: point -> energy: scalar, pos: point",
    ],
)
def test_other_signatures_are_refused(signature):
    with pytest.raises(SignatureError, match="NequIP reads one point and scalars"):
        NequIP(signature)


def test_atoms_of_no_species_are_refused_but_for_padding():
    batch = molecules()
    mask = torch.arange(5) < torch.tensor([[5], [4], [5]])
    padded = {"pos": batch["pos"], "charge": batch["charge"].masked_fill(~mask.unsqueeze(-1), 7.0)}
    assert built()(**padded, mask=mask)["energy"].isfinite().all()
    with pytest.raises(BatchError, match=r"species \[1, 6, 8\]; it got atoms of \[7.0\]"):
        built()(**padded)


def test_species_need_one_scalar():
    with pytest.raises(SignatureError, match=r"species \[1, 6\] need one scalar input"):
        NequIP("pos: point -> energy: scalar per graph", species=[1, 6])
