"""What the backends have in common: the contract with a model's configuration, tensors, batches."""
