"""How a family is trained and kept."""
