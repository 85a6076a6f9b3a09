"""The pure core: decides. No I/O, no wall clock, no unseeded randomness."""
