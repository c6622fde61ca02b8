"""Valid texts that `fuzz.py` damages."""

SUITE = """\
name: tiny
task: {name: nbody/charged, train: 32, val: 8, test: 16}
train: {epochs: 2, batch_size: 16, lr: 1e-3}
evaluate: {group: SE(3), num_items: 4, num_samples: 2}
seeds: [0, 1]
entries:
  - model: [{name: gnn, width: 32, depth: 3}, linear]
    symmetry:
      - none
      - remul: {group: SO(3), beta: [0.1, 10]}
      - frame_averaging: {group: SE(3), frame: pca}
  - model: egnn
    train: {lr: 1e-2}
"""
BVH = """\
HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Thigh
  {
    OFFSET 1 0 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    End Site
    {
      OFFSET 0 -3 0
    }
  }
}
MOTION
Frames: 3
Frame Time: 0.008
1 2 3 0 0 0 0 0 0
0 0 0 0 0 90 0 90 0
0 1 0 10 0 90 0 90 5
"""
ASF = """\
:version 1.10
:units
  length 0.5
  angle deg
:root
   order TX TY TZ RX RY RZ
   axis XYZ
   position 0 0 0
   orientation 0 0 0
:bonedata
  begin
     id 1
     name thigh
     direction 0 -1 0
     length 2
     axis 0 0 90 XYZ
     dof rx ry rz
     limits (-160.0 20.0)
            (-70.0 70.0)
            (-60.0 70.0)
  end
  begin
     id 2
     name shin
     direction 0 -1 0
     length 3
     axis 0 0 0 XYZ
     dof rx
  end
:hierarchy
  begin
    root thigh
    thigh shin
  end
"""
AMC = """\
:FULLY-SPECIFIED
:DEGREES
1
root 1 2 3 0 0 0
thigh 0 0 0
shin 0
2
root 0 0 0 0 90 0
thigh 90 0 0
shin 90
3
root 0 1 0 0 90 0
thigh 91 0 0
shin 95
"""
SPLIT = "3\n14\n15\n92\n"
SIGNATURES = (
    "pos: point, vel: vector*2, charge: scalar, shift: vector per edge -> energy: scalar per graph, forces: vector",
    "x: 4x0e+2x1o, edges: edge_index, batch_of: batch -> y: 1x2e, z: pseudovector",
    "img: image*3 -> y: label*10 per graph",
)
GROUPS = ("SO(3)", "SE(3)*S(5)", "C4v", "SO(2)@y", "Cs@x&(0 1)(2 3)/5", "D6h@(0, 1, 1)", "C4@plane", "T(3)")
CLOUD = "pos: point, species: scalar*3 -> energy: scalar per graph, forces: vector"
COMMANDS = (
    "list models", "list groups SO(3)", "list frames --help", "leaderboard packed --format md --output -",
    "leaderboard packed --format json", "compare packed packed/records.jsonl --all --json",
    "pack packed --output again",
    "plot packed --output figure.svg", "show packed/05c8ac4cc6cb --items 1", "align packed/05c8ac4cc6cb --angles 30,60",
    "data list --data-dir .", "data verify --data-dir .",
    "data info files path=clouds.npz signature=pos:point->pos:point",
    "run suite.yaml train.epochs=3 entries.0.model=linear --jobs 2", "run suite.yaml --output results --device cpu",
    "check linear --signature pos:point->pos:point --group SE(3) --items 3 --points 4 --samples 2",
    "check linear --signature pos:point->pos:point --group C4 --items 3 --points 4 --inputs clouds.npz",
)  # fmt: skip
