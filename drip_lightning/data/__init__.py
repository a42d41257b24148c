"""Floor 1: shards, samples, augmentation and compositing; never imports `drip_lightning.nn`."""
