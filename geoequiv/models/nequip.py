"""NequIP-like interatomic potential (Batzner et al. 2022)."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from geoequiv.errors import BatchError, SignatureError
from geoequiv.fields import Signature
from geoequiv.models.conservative import differentiable
from geoequiv.models.layers.batches import by_name, may_look
from geoequiv.models.layers.clebsch_gordan import Couplings, Harmonics, smooth_direction
from geoequiv.models.layers.cloud import Cloud, SignatureAdapter, smooth_norm
from geoequiv.models.layers.pairs import Pairs
from geoequiv.models.layers.perceptron import perceptron
from geoequiv.models.layers.radial_basis import bessel, envelope
from geoequiv.models.layers.steerable import (
    SCALAR,
    Activation,
    Channels,
    Steerable,
    SteerableLinear,
    natural,
    plus,
)
from geoequiv.models.layers.tensor_products import (
    Kernels,
    PairConvolution,
    RadialWeights,
    hidden_of,
    kernels_of,
    shares,
    triples_of,
)
from geoequiv.ranges import NonNegativeInt, PositiveFloat, PositiveInt, check_ranges

TINY = 1e-8  # squared, keeps distance and direction of coincident atoms differentiable
#: keeps the variance of a linear map; layers without a residual would lose the signal
UNIT = 3**0.5


@check_ranges
class NequIP(nn.Module):
    r"""An energy that is a sum over atoms, from convolutions within a cutoff; forces are its gradient.

    .. math::
        h_i \leftarrow \sigma\Bigl(\sum_s a_{is} W_s h_i
            + \tfrac{1}{\sqrt{\bar n}} \sum_{j} u(r_{ij}) \sum_p W^p R^p(B(r_{ij})) \odot
            (U h_j \otimes Y_{l_2}(\hat r_{ij}))^{l_3}\Bigr), \qquad
        E = \sum_i E_i(h_i, a_i), \qquad F_i = -\partial E / \partial x_i

    Atoms start from their species :math:`a_i` alone; B are Bessel functions, u is the envelope. Chosen over MACE
    because its one product is the convolution of our TFN, already fast here, and each further layer raises the body
    order by one; MACE's symmetrised powers of a node's density would be a second kernel for the same purpose.

    Args:
        signature: one point and scalars (the species) to scalars, such as ``energy: scalar per graph``, and at most one
            vector, which is minus the gradient of the sum of the first scalar output: the forces.
        width: channels of each degree (published for molecules: 32 or 64).
        depth: interaction layers (published: 4 or 5).
        l_max: highest degree of features and harmonics (published: 1 to 3).
        cutoff: where messages end, in the unit of the positions (published: 4 to 5 Å for molecules).
        species: values of the one scalar input, such as nuclear charges ``[1, 6, 8]``, to be one-hot encoded; None
            takes the scalars as they are.
        neighbours: mean number of atoms within the cutoff, :math:`\bar n`, which normalises the sums.
        radial: hidden features of the radial functions (published: 64).
        bessels: number of Bessel functions (published: 8).
        parity: True for features with parities (O(3)), False without (SO(3)).
        scale: factor on the energy of an atom, in the unit of the energy (such as the root mean square of the forces).

    Raises:
        SignatureError: for other fields, or none to make a prediction of.

    Large systems: clouds of 128 atoms and more search for the pairs within the cutoff (`radius_graph`); a list that you
    keep is given as ``edge_index``. Nothing changes but the cost.

    Exactness: equivariant to E(3) (``parity=False``: SE(3)) and to permutations up to round-off; twice continuously
    differentiable in the positions, at the cutoff too. Forces are conservative. ``torch.compile`` compiles models
    without a force output; a gradient inside ``forward`` makes it fall back to eager execution.
    Reference: Batzner, Musaelian, Sun, Geiger, Mailoa, Kornbluth, Molinari, Smidt & Kozinsky 2022, equations 1–7.
    """

    claims = "E(3)"
    compiles = "one graph; forces, a gradient inside, not compiled"

    def __init__(
        self,
        signature: Signature | str,
        width: PositiveInt = 32,
        depth: PositiveInt = 4,
        *,
        l_max: NonNegativeInt = 2,
        cutoff: PositiveFloat = 5.0,
        species: Sequence[int] | None = None,
        neighbours: PositiveFloat = 10.0,
        radial: PositiveInt = 64,
        bessels: PositiveInt = 8,
        parity: bool = True,
        scale: PositiveFloat = 1.0,
    ) -> None:
        super().__init__()
        if not parity:
            self.claims = "SE(3)"
        self.adapter = adapter = SignatureAdapter(
            signature, kinds=("point", "vector", "scalar"), architecture="NequIP", needs_point=True
        )
        if (
            adapter.points != 1
            or adapter.vectors
            or adapter.out_points
            or adapter.out_vectors > 1
            or not adapter.out_scalars
        ):
            raise SignatureError(
                "NequIP reads one point and scalars, writes scalars and at most one vector (minus the gradient of the "
                f"first scalar); got '{adapter.signature}'."
            )
        if species is not None and (adapter.scalars != 1 or not species):
            raise SignatureError(f"NequIP: species {list(species)} need one scalar input; '{signature}' is not so.")
        self.species, self.cutoff, self.bessels = species, cutoff, bessels
        self.scale, self.normalise = scale, neighbours**-0.5
        kinds = len(species) if species is not None else max(adapter.scalars, 1)
        harmonic = [natural(degree, parity) for degree in range(l_max + 1)]
        features = [[SCALAR], *[harmonic] * (depth - 1), [SCALAR]]
        self.embed = nn.Linear(kinds, width, bias=False)
        nn.init.normal_(self.embed.weight)
        layers = [
            Interaction(hidden_of(before, width), hidden_of(after, width), kinds, bessels, l_max, radial, parity)
            for before, after in pairwise(features)
        ]
        self.layers = nn.ModuleList(layers)
        self.energy = perceptron(width, max(width // 2, 1), adapter.out_scalars)
        self.own = nn.Linear(kinds, adapter.out_scalars, bias=False)
        self.harmonics = Harmonics(l_max)
        self.couplings = Couplings(triples_of(*(layer.convolve.paths for layer in layers)), l_max)

    def forward(self, graph: Any = None, /, **fields: Tensor) -> Tensor | dict[str, Tensor]:
        """Fields of the signature, by name or as a PyG object → its outputs; forces also without gradients."""
        named = by_name(graph, fields)
        if not self.adapter.out_vectors:
            cloud = self.adapter.read(named)
            none = cloud.points[..., :0, :]
            return self.adapter.write(cloud, points=none, vectors=none, scalars=self.energies(cloud))
        return self._with_forces(named)

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # Dynamo does not trace a gradient inside a model
    def _with_forces(self, given: Mapping[str, Any]) -> Tensor | dict[str, Tensor]:
        training, name = torch.is_grad_enabled(), self.adapter.signature.inputs.of_kind("point")[0]
        with torch.inference_mode(False), torch.enable_grad():
            fields = differentiable(given, name)
            cloud = self.adapter.read(fields)
            energies = self.energies(cloud)
            first = energies[..., 0] if cloud.mask is None else energies[..., 0] * cloud.mask
            (gradient,) = torch.autograd.grad(first.sum(), fields[name], create_graph=training)
        if not training:
            energies = energies.detach()
        none = cloud.points[..., :0, :]
        return self.adapter.write(cloud, points=none, vectors=-gradient.unsqueeze(-2), scalars=energies)

    def energies(self, cloud: Cloud) -> Tensor:
        """The scalars of each atom: ``[..., N, out_scalars]``."""
        pairs, position = cloud.pairs(self.cutoff), cloud.points[..., 0, :]
        atoms = cloud.scalars
        if self.species is not None:
            one_hot = atoms == atoms.new_tensor(self.species)
            self._check(atoms, one_hot, cloud.mask)
            atoms = one_hot.to(atoms.dtype)
        if not atoms.shape[-1]:
            atoms = torch.ones_like(position[..., :1])
        difference = pairs.difference(position)
        distance = smooth_norm(difference, TINY).unsqueeze(-1)
        counts = shares(pairs, difference, mean=False) * self.normalise * envelope(distance, self.cutoff)
        angular = self.harmonics(smooth_direction(difference, TINY)) * counts
        kernels = kernels_of(pairs, self.couplings, angular)
        radial = bessel(distance, self.bessels, self.cutoff) * self.bessels**0.5  # of order 1 at a bond's length
        nodes: Steerable = {SCALAR: self.embed(atoms).unsqueeze(-2)}
        for layer in self.layers:
            nodes = layer(pairs, kernels, nodes, atoms, radial)
        return self.own(atoms) + self.scale * self.energy(nodes[SCALAR].squeeze(-2))

    def _check(self, atoms: Tensor, one_hot: Tensor, mask: Tensor | None) -> None:
        """Raise BatchError for a real atom of no species, where values can be looked at."""
        unknown = ~one_hot.any(-1) if mask is None else ~one_hot.any(-1) & mask
        if may_look() and bool(unknown.any()):
            kinds = sorted(set(atoms[unknown].flatten().tolist()))
            raise BatchError(f"NequIP is built for the species {list(self.species or ())}; it got atoms of {kinds}.")


class Interaction(nn.Module):
    """One convolution, with a linear map of its own for each species beside it.

    Args:
        before: channels that come in, the same number of each kind.
        after: channels that go out.
        species: how many there are.
        bessels: radial features of a pair.
        l_max: highest degree of the harmonics.
        radial: hidden features of the radial functions.
        parity: whether features have parities (O(3)) or not (SO(3)).
    """

    def __init__(
        self, before: Channels, after: Channels, species: int, bessels: int, l_max: int, radial: int, parity: bool
    ) -> None:
        super().__init__()
        self.activation = Activation("gate", after)
        self.convolve = PairConvolution(before, self.activation.needs, l_max, parity, scale=UNIT)
        self.send = SteerableLinear(
            before, {kind: before[kind] for kind in self.convolve.sources}, bias=False, scale=UNIT
        )
        by_species = {kind: species * channels for kind, channels in before.items()}
        self.keep = SteerableLinear(by_species, self.activation.needs, scale=UNIT * species**0.5)
        self.radial = RadialWeights(bessels, radial, self.convolve.weights)

    def forward(self, pairs: Pairs, kernels: Kernels, nodes: Steerable, atoms: Tensor, radial: Tensor) -> Steerable:
        """Features of nodes, species ``[..., N, S]``, radial features of pairs → features of nodes."""
        received = self.convolve(pairs, kernels, self.send(nodes), self.radial(radial))
        each = atoms[..., None, None, :]
        by_species = {kind: (values.unsqueeze(-1) * each).flatten(-2) for kind, values in nodes.items()}
        return self.activation(plus(received, self.keep(by_species)))
