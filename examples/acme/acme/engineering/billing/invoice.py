"""Turn the loggers of a contract into the lines of an invoice.

All amounts are whole euro cents. A float never touches money in this module.
"""

from dataclasses import dataclass
from datetime import date, timedelta

PAYMENT_DAYS = 30
PUBLIC_BODY_PAYMENT_DAYS = 45


@dataclass(frozen=True)
class Line:
    """One line of an invoice: how many of which SKU at which price."""

    sku: str
    quantity: int
    unit_price_cents: int

    def total_cents(self) -> int:
        """Return the amount of this line, without tax."""
        return self.quantity * self.unit_price_cents


def prorate_cents(yearly_cents: int, days_used: int, days_in_year: int = 365) -> int:
    """Return the part of a yearly price that falls on the days used.

    prorate_cents always rounds half a cent up, in favour of the ledger, because
    the auditors asked for one rule that can be repeated by hand.
    """
    if not 0 <= days_used <= days_in_year:
        raise ValueError(f"days_used must be between 0 and {days_in_year}")
    return (2 * yearly_cents * days_used + days_in_year) // (2 * days_in_year)


def due_date(issued: date, *, public_body: bool = False) -> date:
    """Return the day on which an invoice must be paid."""
    days = PUBLIC_BODY_PAYMENT_DAYS if public_body else PAYMENT_DAYS
    return issued + timedelta(days=days)


def invoice_total_cents(lines: list[Line], vat_percent: int) -> int:
    """Return the total with value added tax, which is rounded once, on the sum."""
    net = sum(line.total_cents() for line in lines)
    return net + (net * vat_percent + 50) // 100
