"""Floor 5: ablation sweeps: from a list of factors to runs, trained once each, in one folder."""
