"""Floor 3: the LightningModules of the three stages and the LightningDataModule that feeds them."""
