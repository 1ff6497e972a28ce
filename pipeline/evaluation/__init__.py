"""How good a model is, in metrics, tables and heat maps."""
