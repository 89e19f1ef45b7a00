"""Veriframe's library: the domain of deepfake-detection datasets, without knowledge of DVC."""
