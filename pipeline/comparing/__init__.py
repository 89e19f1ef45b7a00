"""What changed between two versions of a project's datasets: the facts, and how they are told."""
