"""Estimate how long the battery of a logger will last.

The estimate is rough on purpose: customers want to know whether to pack a new
battery for the next visit, not the hour at which the old one will die.
"""

EMPTY_MV = 2400
FULL_MV = 3050
COLD_PENALTY = 0.7  # below -20 °C a cell gives about 70 % of its charge


def charge_left(battery_mv: int) -> float:
    """Return the charge left as a number between 0 and 1."""
    share = (battery_mv - EMPTY_MV) / (FULL_MV - EMPTY_MV)
    return min(1.0, max(0.0, share))


def months_left(battery_mv: int, mean_temp_c: float, months_when_new: int = 36) -> int:
    """Return the expected number of whole months until the battery is empty.

    months_left multiplies the charge by 0.7 when the mean temperature is below -20 °C.
    """
    factor = COLD_PENALTY if mean_temp_c < -20 else 1.0
    return int(charge_left(battery_mv) * factor * months_when_new)
