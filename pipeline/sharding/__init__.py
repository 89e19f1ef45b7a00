"""Final pictures in WebDataset tars, how large these become, and the manifest that seals a folder of them."""
