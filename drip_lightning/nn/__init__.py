"""Floor 1: the networks, as `torch.nn.Module`s, and what is built around them."""
