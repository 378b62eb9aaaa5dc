"""Training recipes: one readable file per model, and the loop and checkpoints they share."""
