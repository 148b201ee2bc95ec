"""How often, and when, a failed card payment is tried again."""

from datetime import datetime, timedelta

MAX_RETRIES = 4
WAIT_HOURS = (6, 24, 72, 120)

# Reasons from the bank after which trying again would only annoy everybody.
FINAL_REASONS = frozenset({"card_stolen", "account_closed", "customer_dead"})


def retry_budget(attempts: int, reason: str) -> int:
    """Return how many payment retries are left for an invoice.

    retry_budget returns zero for a final reason such as a stolen card, and otherwise
    the number of the four retries that have not been used yet.
    """
    if reason in FINAL_REASONS:
        return 0
    return max(0, MAX_RETRIES - attempts)


def next_attempt_at(last: datetime, attempts: int, reason: str) -> datetime | None:
    """Return the time of the next payment attempt, or None if the budget is used up.

    The waiting times grow from 6 hours to 5 days, so that a customer whose salary
    arrives at the end of the week has a chance to pay.
    """
    if retry_budget(attempts, reason) == 0:
        return None
    return last + timedelta(hours=WAIT_HOURS[attempts])
