"""What can be chosen by name, without torch: ways to match units, and where activations are compared."""

#: "scales" matches activations by permutations with positive factors and signs where streams allow them,
#: "weight_scales" weights; "rotations" matches activations by orthogonal matrices where streams allow them,
#: "invertible" by any matrices, and "weight_rotations" matches weights by orthogonal ones, these three after the norms
#: are folded
METHODS = (
    "activations", "scales", "rotations", "invertible", "weights", "weight_scales", "weight_rotations", "none", "best",
)  # fmt: skip
#: where activations of a stream are compared: at its last tap with most rows, or, if it is written more than once, at
#: all (measured on 10 gravity transformers: two thirds of the barrier of permutations, .95 of that of rotations)
TAPS = ("last", "all")
