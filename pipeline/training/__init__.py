"""Training: what a recipe may say, losses, optimizers and schedules, and the loop that goes on after a kill."""
