"""Fits and searches that are stopped in a certain pass, as by Ctrl-C."""

from __future__ import annotations

from fastgmm.estimators.climb import Climb


class Stop(BaseException):
    """What ends a fit or a search."""


def disturbed(fit, pass_number, monkeypatch):
    """Call what ends in a certain pass; return whether there was one."""
    counted = []
    climb_pass = Climb._pass

    def counting(climb, candidates):
        found = climb_pass(climb, candidates)
        counted.append(len(candidates))
        if len(counted) == pass_number:
            raise Stop
        return found

    with monkeypatch.context() as patched:
        patched.setattr(Climb, "_pass", counting)
        try:
            fit()
        except Stop:
            return True
    return False
