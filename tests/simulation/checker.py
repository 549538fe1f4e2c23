"""From a history to what went wrong in it. Pure; each sort of wrong has a history of a few lines in its tests."""

from tests.simulation.check_hearing import expiry, hearing, order
from tests.simulation.check_inboxes import inboxes, marks
from tests.simulation.check_log import acknowledged, outputs, repeats, times
from tests.simulation.history import History
from tests.simulation.wrong import Wrong


def check(history: History) -> list[Wrong]:
    found = [Wrong("stuck", detail) for _, detail in history.complaints]
    if found:
        return found
    for judge in (outputs, acknowledged, repeats, times, inboxes, marks, hearing, expiry, order):
        found += judge(history)
    return found
