"""Training on several processes, on one machine or many, by torch.distributed."""
