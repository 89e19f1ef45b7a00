"""Built-in raw datasets: rendered faces, forgeries of them and of real footage, in the layouts of the real sets."""
