"""One evaluator for checkpoints, ceilings and baselines: per-image results, tables, strata and pictures."""
