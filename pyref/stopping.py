"""How many iterations a solver is given: stop rules on a sample window, decided once for the whole picture.

After iteration t = 1, 2 .. two numbers over the known values, neither clipped nor reached by a lamp (`highlight`):

    change     100 ||x_t - x_{t-1}|| / ||x_t - x_0||   percent, x_0 = y
    whiteness  of the residual k * x_t - y (`whiteness`; Almeida and Figueiredo 2013)

Stagnation: the change stays below the tolerance (rl, whose steps are small: a quarter of it) three times in a row. Whiteness: `patience` iterations
without a whiter residual, for solvers that diverge in the end (Richardson-Lucy). The state kept is the last one: under a prior the whitest residual
comes too early, by up to 2 dB.
"""
from dataclasses import dataclass, field

import numpy as np

from . import highlight, solver
from .whiteness import LAGS, whiteness

QUIET = 3
WINDOW = 256
MOST = {"mm": 40, "pd": 60, "pam": 120, "rl": 100}  # iterations of a run on the sample
PATIENCE = {"rl": 40}
STAGNATION = {"rl": 0.25}  # part of the tolerance below which a change counts as none


@dataclass
class Rule:
    """tolerance in percent; patience 0: whiteness never ends a run. reason: "iterations", "stagnation" or "whiteness"."""

    tolerance: float = 0.2
    patience: int = 0
    reason: str = "iterations"
    quiet: int = 0
    whitest: float = -np.inf
    whitest_at: int = 0

    def ask(self, iteration, change, white):
        """Whether the run ends after `iteration` = 1, 2 .. with these two numbers."""
        self.quiet = self.quiet + 1 if change < self.tolerance else 0
        if iteration == 1 or white > self.whitest:
            self.whitest, self.whitest_at = white, iteration
        if self.quiet >= QUIET:
            self.reason = "stagnation"
        if self.patience > 0 and iteration - self.whitest_at >= self.patience:
            self.reason = "whiteness"
        return self.reason != "iterations"


def rule_of(name, tolerance=0.2, patience=None):
    """The rule of a solver, by its name; patience replaces the solver's own."""
    return Rule(STAGNATION.get(name, 1) * tolerance, PATIENCE.get(name, 0) if patience is None else patience)


@dataclass
class Run:
    """iterations to use and why; change and whiteness per iteration asked about; x: the last state (window)."""

    iterations: int
    reason: str = "iterations"
    change: list = field(default_factory=list)
    whiteness: list = field(default_factory=list)
    x: np.ndarray | None = None


def window(y):
    """The middle of the picture, at most 256 x 256 pixels."""
    rows, cols = (min(n, WINDOW) for n in y.shape[:2])
    top, left = (y.shape[0] - rows) // 2, (y.shape[1] - cols) // 2
    return y[top : top + rows, left : left + cols]


def iterations(method, y, psf, params=None, tolerance=0.2, white=None, dtype=np.float64, shape=None, watch=None, patience=None):
    """Run `method` (mm, pam, pd or rl) on the sample of y (M, N, C) and say where to stop.

    params are those of the whole picture (None: of y). A sample without a lag to measure or a known value: the method's own number, no run.
    shape: as for `solver.problem`. watch(t, x, model) is called after each iteration as well; patience
    replaces the method's own.
    """
    params = method.parameters(y, psf) if params is None else params
    y = window(y)
    name = method.__name__.rpartition(".")[2]
    if white is not None:
        y = np.where(highlight.find(y, psf, white, params.sigma)[..., None], np.nan, y)
    known = np.isfinite(y) & (y < (np.inf if white is None else white))
    if min(y.shape[:2]) <= LAGS or not known.any():
        return Run(method.ITERATIONS)
    rule, run, before = rule_of(name, tolerance, patience), Run(MOST[name]), [y]

    def norm(a):
        return np.sqrt(np.sum(np.where(known, a, 0).astype(float) ** 2))

    def ask(t, x, model):
        way = norm(x - y)
        run.change.append(100 * norm(x - before[0]) / way if way > 0 else 0.0)
        run.whiteness.append(whiteness(np.where(known, model - y, 0)))
        before[0] = x
        if watch:
            watch(t, x, model)
        if rule.ask(t, run.change[-1], run.whiteness[-1]):
            run.iterations, run.reason = t, rule.reason
            return True
        return False

    inside = np.s_[: y.shape[0], : y.shape[1]]
    problem = solver.problem(y, psf, white, dtype, shape)
    run.x = method.solve(problem, params, MOST[name], lambda t, x, model: ask(t, x[inside], model[inside]))[inside]
    return run
