"""Motion in numbers: skeleton, rotations, feature representation, and what is done to poses. Pure numpy and scipy."""
