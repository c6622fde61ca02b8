"""Where simulated data comes from: charged particles and planets, walkers, and molecules under GFN2-xTB."""
