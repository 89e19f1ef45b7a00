"""What an extraction will take, before it starts."""
