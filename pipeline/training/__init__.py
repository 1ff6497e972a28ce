"""How a family is trained."""
