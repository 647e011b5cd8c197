"""Times as exact fractions of a second."""

from fractions import Fraction


def exact_seconds(value: float | Fraction) -> Fraction:
    """The decimal number that was meant: 0.1 is 1/10, not the nearest binary number."""
    return Fraction(str(value)) if isinstance(value, float) else Fraction(value)
