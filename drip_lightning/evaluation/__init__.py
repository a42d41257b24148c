"""Floor 4: one evaluator for checkpoints, ceilings and baselines: per-image results, tables, strata and pictures."""
