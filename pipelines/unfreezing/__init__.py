"""`headstart unfreeze`: a backbone tuned phase by phase from the top, as a run."""
