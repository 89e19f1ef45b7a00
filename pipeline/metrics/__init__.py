"""Figures of merit of detectors, their intervals, the comparison of two detectors, and calibration.

Labels are 0 = real, 1 = fake; a higher score means more likely fake. What a figure needs and the data lack (a second
class, a predicted fake) makes it NaN: never a crash, never a value.
"""
