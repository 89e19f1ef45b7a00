"""Networks: building them, their weights, what they expect of a picture, and how a trained one is stored."""
