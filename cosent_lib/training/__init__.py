"""Training: one visible loop on Accelerate, its settings, its checkpoints, and how it ends early."""
