"""Plain, small systems to compare ours with, trained on the same windows for the same time."""
