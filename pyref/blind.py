"""Stage 1: the PSF of a sample window.

Model y = k * x + n on the window, k >= 0, sum k = 1; x unknown. Coarse to fine, the alternation of

1. a sharp estimate with few gradients, min_x ||k * x - y||^2 + lam ||grad x||_0, by half-quadratic splitting: g = grad x where
   |grad x|^2 >= lam / beta, else 0; X = (conj(K) Y + beta conj(D).F(g)) / (|K|^2 + beta |D|^2); beta doubles from 2 lam to BETA_ROUND
   (L. Xu, S. Zheng, J. Jia, Unnatural L0 sparse representation for natural image deblurring, CVPR 2013; L. Xu et al., Image
   smoothing via L0 gradient minimization, ACM TOG 30(6), 2011, eq. 8 and 12);
2. the PSF, min_k ||k * grad x - grad y||^2 + gamma ||k||^2 subject to k >= 0, by accelerated projected gradient
   (S. Cho, S. Lee, Fast motion deblurring, ACM TOG 28(5), 2009, eq. 9; A. Beck, M. Teboulle, FISTA, SIAM J. Imaging Sci. 2(1), 2009).

Deviations: the normal equations of step 2 need the autocorrelation of grad x at lags below the PSF size alone, so one transform of the
window builds them and each iteration is a transform of twice the PSF size; gradients near the frame are left out, by weights that rise from
0 half a PSF inside it to 1 further in: what they are blurred with is not in the window, and a sharp edge of the weights would be taken for
blur; lam is relative to the window's contrast, and falls while the PSF is found.

Several starts (gradient weight, support) run to half the resolution, where `energy` keeps the best KEEP. The better one at full
resolution settles at a constant weight; from it the alternation walks on in several ways, of which the PSF of least `trial` is kept
(`polish`): its fixed point is not its best PSF, since pictures have more gradients than the model. The result competes with families of few
parameters (`fit_family`), by WHITTLE `Spectrum.cost` + `energy`; so does "no blur" where the noise need not be white.

All this sees one plane, the luminance. Channels with white noise of their own say more (`load`): then the plane is their mean, which has less noise, and
the settling, the walks and the comparison with the families see two chroma planes beside it: one mask of gradients for all three, sums over them in
step 2 and in `cost`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from . import psf
from .boundary import extend, fill_holes
from .fft import fast_size, forward, gradient_power, inverse, otf
from .noise import high_pass
from .pyramid import resize, resize_psf, schedule
from .whittle import Spectrum

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
OWN_NOISE = 1.4     # chroma noise that the high-pass sees so much more of, at most, with its taps two pixels apart, is white
CONTRAST = 0.2      # standard deviation the window is scaled to; lam and GAMMA refer to it
STARTS = ((0.3, 1), (0.1, 1), (0.01, 1), (0.1, 2))  # weight of the gradient count at the coarsest scale, divisor of the PSF size
PRUNED = 2          # scales above the finest: half the resolution
KEEP = 2            # starts that go on from there
SCORE_LAMS = (1e-3, 4e-3)
GAUSSIANS = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0)  # px, where the search for a Gaussian begins
LAM_TRIAL, BETA_TRIAL = (4e-4, 1e-3), 16.0  # range of the weight of a trial, else as LAM_NOISE; last penalty
WALKS = ((0, 0.03), (2, 0.03), (1, 0.01))  # quarters added to the power of |D| in which the PSF is fitted, PRUNE there
LAM_SETTLE, SETTLE = 3.0, 8  # weight, relative to that of a trial, and number of the rounds before the walks
PASSES, WALK_ROUNDS, BEST = 2, 2, 3
GAMMA_FIT, STEPS_FIT = 0.2, 40
WHITTLE = 2.0       # weight of Spectrum.cost beside the energy
SOFT_HIGHEST = 2.0  # largest |D|^2 that it sees where the noise need not be white
NEAR = 0.1          # a member that explains the spectrum so much worse than the free PSF is left out
LEAD = 0.004        # where the noise need not be white, also one that does not explain it so much better,
SEEN = 1.7          # px, or whose psf.radius leaves no mark below that frequency: a disk of 2.4 has its first zero there,
DEARER = 0.03       # or a Gaussian of so much more energy than the free PSF: processing makes spectra fall like one
SEARCH, SEARCH_PASSES = 0.16, 12  # first step of the search for a member, in natural logarithms and px; halved after a pass without success
HOPE = 4            # passes for the search to come below its limit
FAR = 0.3           # from the least cost so far: a fit that ends so far off is not gone on from
FIT_STEPS, LAST_STEPS = 2, 12  # of the fit of the spectrum behind it, on the way and for the comparison
RADIUS, RADII = 0.8, 1.1  # px, smallest disk tried, and from one to the next
LENGTHS, DIRECTIONS, LINE_SOFTNESS = (4, 8, 14, 22), 8, 0.3  # px, number, px: lines tried
SOFTEST, REACH = 0.8, 3  # px: largest softness of a disk or line, and how far its Gaussian reaches
LEAST_WIDTH = 0.3   # px, of moments
LEAST = np.log(0.25)  # of a member, logarithm
SHARE, MARGIN = 0.98, 2  # of the PSF's mass at half the resolution within the size that is proposed; px around it
PRESS = (0.8, 0.35, 0.05)  # of that mass in the outermost pixels of a square of 3, 5, and 7 or more pixels: the size is too small
LAMPS = 0.03        # largest share of clipped pixels that are taken for lamps
LEFT = 0.5          # least share of the pixels that are known without them,
DOUBT = 0.2         # and least confidence in what is found there
MORE = 1.2          # and least ratio of the energies gained on the delta
ROOM = 4            # a size that has grown is at most the window's side divided by this
LAM_DECAY = 1.15    # divisor per round
LAM_FINE = 1e-4     # floor
LAM_NOISE = 10.0    # the same, relative to the variance of the noise: below it the PSF gains a peak that copies the noise
BETA_MAX = 1e3      # last penalty of an energy
BETA_ROUND = 1e2    # of a round
ROUNDS = 5          # per scale
GAMMA = 2.0         # weight of ||k||^2
NNLS_STEPS = 20
SHARP = 0.02        # energy a PSF must gain on the delta to count
NARROW, SHARP_NARROW = 1.0, 0.06  # the same for a narrower one (px, psf.radius)
SOFT, SOFT_MEMBER = 0.85, 0.95  # px, the same: one up to here is the picture's own softness; a member of a family, which leaves no mark in the spectrum
CONFIDENCE = np.array([0.37, 8.06, 3.31, 0.81])  # see confidence()
LOG_NOISE = (-5.5, -2.5)  # range of the noise it was fitted on
PRUNE = 0.03        # of the peak: smaller values of the PSF are noise
ISLAND = 0.02       # of the sum: smaller islands of the PSF are noise


@dataclass
class Estimate:
    """psf: (size, size) or (size, size, 3), float32, sum 1; confidence in [0, 1]; scales: one dict per scale; gain of energy on no blur."""

    psf: np.ndarray
    confidence: float
    noise: float
    scales: list = field(default_factory=list)
    gain: float = 0.0


def noise_level(y: np.ndarray, step: int = 1) -> float:
    """Standard deviation of white noise in y (M, N): median absolute response to `noise.high_pass`; non-finite ones are left out.

    Source: J. Immerkaer, Fast noise variance estimation, CVIU 64(2), 1996, with the median in place of the mean.
    """
    r = high_pass(y, step)
    r = np.abs(r[np.isfinite(r)])
    return float(np.median(r) / 0.6745) if r.size else 0.0


def gradient(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Periodic forward differences along columns and rows."""
    return np.roll(x, -1, 1) - x, np.roll(x, -1, 0) - x


def taper(count: int, n: int) -> np.ndarray:
    """Weights of `count` places for a PSF of size n: 0 within half of it of the frame, then a raised cosine as wide as it.

    Or as an eighth of the window if that is less.
    """
    i = np.arange(count)
    return np.sin(np.pi / 2 * np.clip((np.minimum(i, count - 1 - i) - n // 2) / min(n, count / 8), 0, 1)) ** 2


def clean(k: np.ndarray, prune: float = PRUNE, island: float = ISLAND) -> np.ndarray:
    """Drop values below `prune` of the peak and 8-connected islands below `island` of the sum; sum 1."""
    k = np.where(k < prune * k.max(), 0, k)
    label, count = ndimage.label(k, np.ones((3, 3)))
    mass = ndimage.sum_labels(k, label, np.arange(count + 1))
    k = k * (mass >= min(island * k.sum(), mass.max()))[label]
    return k / k.sum()


def centred(k: np.ndarray) -> np.ndarray:
    """Move the centroid to the centre by whole pixels; what leaves the support is lost; sum 1."""
    n = k.shape[0]
    r = np.arange(n) - n // 2
    dy, dx = (int(np.rint(r @ k.sum(axis) / k.sum())) for axis in (1, 0))
    out = np.zeros_like(k)
    out[max(-dy, 0):n - max(dy, 0), max(-dx, 0):n - max(dx, 0)] = k[max(dy, 0):n - max(-dy, 0), max(dx, 0):n - max(-dx, 0)]
    return out / out.sum()


def agreement(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of two PSFs (n, n), 0 to 1: the largest over shifts of up to 2 px."""
    n, wide = a.shape[0], np.pad(a, 2)
    return float(max((wide[i:i + n, j:j + n] * b).sum() for i in range(5) for j in range(5)) / np.sqrt((a * a).sum() * (b * b).sum()))


def confidence(gain: float, agreement: float, variance: float) -> float:
    """Probability that the PSF is good: that restoring with it gains at least 70 % of the decibels that the true PSF would.

    Logistic regression on the gain of energy on the delta, the agreement of two starts and the decadic logarithm of the variance of the noise, the window
    scaled to CONTRAST; fitted by tools/train_confidence.py.
    """
    features = np.array([1, gain, agreement, np.clip(np.log10(max(variance, 1e-12)), *LOG_NOISE)])
    return float(1 / (1 + np.exp(-features @ CONFIDENCE)))


class Scale:
    """One scale: y (M, N) or planes (M, N, C) scaled to CONTRAST, largest PSF size n, everything that does not change between rounds.

    `size_of` gives the side of the periodic domain for a number of pixels; variance: of the noise of y, its planes' sum.
    """

    def __init__(self, y: np.ndarray, n: int, size_of=fast_size, variance: float = 0.0):
        self.y, self.n = y[..., None] if y.ndim == 2 else y, n
        self.shape = shape = tuple(size_of(m + n + 7) for m in y.shape[:2])
        self.filled = extend(self.y, shape)
        self.Y = forward(self.filled)
        self.D2 = gradient_power(shape, y.dtype)[..., None]
        self.weight = np.zeros(shape + (1,), y.dtype)
        self.weight[:y.shape[0], :y.shape[1], 0] = np.outer(*(taper(m, n) for m in y.shape[:2]))
        self.ridge = variance * (self.weight**2).sum()
        self.GY = [forward(g * self.weight) for g in gradient(self.filled)]

    def otf(self, k: np.ndarray) -> np.ndarray:
        return otf(k, self.shape, self.y.dtype)[..., None]

    def sharp(self, k: np.ndarray, lam: float, beta_max: float = BETA_ROUND) -> np.ndarray:
        """Step 1 up to a penalty; returns the whole periodic domain (P, Q, C). A gradient is kept in all planes or in none."""
        K = self.otf(k)
        KY, K2 = K.conj() * self.Y, np.abs(K) ** 2
        x, beta = self.filled, 2 * lam
        while beta < beta_max:
            gx, gy = gradient(x)
            keep = (gx * gx + gy * gy).sum(2, keepdims=True) >= lam / beta
            gx, gy = gx * keep, gy * keep
            div = np.roll(gx, 1, 1) - gx + np.roll(gy, 1, 0) - gy
            x = inverse((KY + beta * forward(div)) / (K2 + beta * self.D2), self.shape)
            beta *= 2
        return x

    def psf(self, x: np.ndarray, k: np.ndarray) -> np.ndarray:
        """Step 2 from the start k (n, n); returns the cleaned PSF, or k if nothing is left."""
        G = [forward(g * self.weight) for g in gradient(x)]
        auto, cross = sum(np.abs(g) ** 2 for g in G), sum(g.conj() * b for g, b in zip(G, self.GY))
        return self.project(auto, cross, k, GAMMA, 0, NNLS_STEPS, PRUNE)

    def fit(self, x: np.ndarray, k: np.ndarray, quarters: int, prune: float) -> np.ndarray:
        """Step 2 with |D|^p in place of the gradient, p = 1 + quarters / 4: more weight for fine structure, which the alternation recovers last.

        With ridge ||grad k||^2 more, since noise leaves the finest structure of the PSF open.
        """
        power = self.D2 ** (0.5 + quarters / 8)
        G, Y = (forward(inverse(F * power, self.shape) * self.weight) for F in (forward(x), self.Y))
        return self.project(np.abs(G) ** 2, G.conj() * Y, k, GAMMA_FIT, self.ridge, STEPS_FIT, prune)

    def project(self, auto: np.ndarray, cross: np.ndarray, k: np.ndarray, gamma: float, smooth: float, steps: int, prune: float) -> np.ndarray:
        """PSF from the spectra of the correlations of the sharp planes with themselves and with the blurred ones; from the start k.

        The penalty is gamma ||k||^2 + smooth ||grad k||^2.
        """
        n, dtype = k.shape[0], self.y.dtype
        size = fast_size(2 * n)
        auto, cross = inverse(auto.sum(2), self.shape), inverse(cross.sum(2), self.shape)
        lag = np.arange(1 - n, n)
        a = np.zeros((size, size), dtype)
        a[np.ix_(lag % size, lag % size)] = auto[np.ix_(lag, lag)]
        A = forward(a).real + dtype.type(gamma) + dtype.type(smooth) * gradient_power((size, size), dtype)
        half = np.arange(n) - n // 2
        b = cross[np.ix_(half, half)]
        step = 1 / np.abs(A).max()
        z, now, t = k, k, 1.0
        for _ in range(steps):
            new = np.maximum(z - step * (inverse(A * forward(np.pad(z, (0, size - n))), (size, size))[:n, :n] - b), 0)
            t, old = (1 + np.sqrt(1 + 4 * t * t)) / 2, t
            z, now = new + (old - 1) / t * (new - now), new
        return clean(now, prune) if now.sum() > 0 else k

    def rounds(self, k: np.ndarray, lam: float, count: int, decay: float, floor: float):
        """`count` rounds of both steps; returns PSF, lam, L1 change of the last round."""
        change = 0.0
        for _ in range(count):
            new = self.psf(self.sharp(k, lam), k)
            change, k = float(np.abs(new - k).sum()), new
            lam = max(lam / decay, floor)
        return k, lam, change

    def cost(self, k: np.ndarray, x: np.ndarray, weight: float, least: float) -> float:
        """log(mean |r|^2 + weight share) away from the frame: r = k * x - y, share of the pixels with |grad x|^2 > least, both squares summed over the planes.

        0 for a window that is all frame.
        """
        h = self.n // 2 + 2
        area = tuple(slice(h, m - h) for m in self.y.shape[:2])
        if min(self.y.shape[:2]) <= 2 * h:
            return 0.0
        r = (inverse(self.otf(k) * forward(x), self.shape) - self.filled)[area]
        gx, gy = gradient(x)
        found = (gx * gx + gy * gy).sum(2)[area] > least
        return float(np.log((r * r).sum(2).mean() + weight * found.mean() + 1e-12))

    def energy(self, k: np.ndarray) -> float:
        """How badly k explains the window by a sharp picture with few gradients: `cost` with weight 4 lam, summed over SCORE_LAMS.

        A PSF too narrow leaves many gradients or a residual, one too wide adds the gradients of its ringing.
        """
        return sum(self.cost(k, self.sharp(k, lam, BETA_MAX), 4 * lam, lam / BETA_MAX) for lam in SCORE_LAMS)

    def trial(self, k: np.ndarray, lam: float) -> tuple[float, np.ndarray]:
        """A cheaper `energy` of one weight for PSFs that are close to each other, and its sharp picture.

        The shorter continuation leaves more of the misfit in the residual.
        """
        x = self.sharp(k, lam, BETA_TRIAL)
        last = lam * 2 ** np.ceil(np.log2(BETA_TRIAL / (2 * lam)))  # the largest penalty below BETA_TRIAL
        return self.cost(k, x, 2 * lam, lam / last), x


class Start:
    """One run of the alternation: weight of the gradient count, largest PSF size; `log` holds one dict for each scale done."""

    def __init__(self, lam: float, size: int):
        self.lam, self.schedule, self.log = lam, schedule(size), []
        self.k = np.array([[0, 0, 0], [0.5, 0.5, 0], [0, 0, 0]])

    def descend(self, levels: list[Scale], floor: float) -> None:
        """All rounds of the given levels, of which those too coarse for the PSF are skipped; `levels` end where the last call's go on."""
        for level, zoom in levels:
            sizes = {z: n for n, z in self.schedule}
            if zoom not in sizes:
                continue
            n = sizes[zoom]
            if self.log:
                self.k = resize_psf(self.k, n, zoom / self.zoom)
            self.k, self.lam, change = level.rounds(self.k, self.lam, ROUNDS, LAM_DECAY, floor)
            self.k, self.zoom = centred(self.k), zoom
            self.log.append({"size": n, "rounds": ROUNDS, "change": change})


def contrast(y: np.ndarray) -> float:
    """Factor that brings y to CONTRAST."""
    return CONTRAST / max(float(y.std()), 1e-12)


def least(noise: float, scale: float) -> float:
    """Floor of lam for noise of a standard deviation in a picture that is multiplied by `scale`."""
    return max(LAM_FINE, LAM_NOISE * (noise * scale) ** 2)


def is_sharp(gain: float, radius: float, soft: float = SOFT) -> bool:
    """A PSF of this radius that gains so much energy on the delta is no blur to remove: on doubt nothing is done."""
    return radius < soft or gain < (SHARP_NARROW if radius < NARROW else SHARP)


def polish(level: Scale, k: np.ndarray, lam: float) -> np.ndarray:
    """PSF of least `trial` met on walks of the alternation from k, and on the mean of the best."""
    best: list[tuple[float, np.ndarray, np.ndarray | None]] = []

    def consider(k):
        cost, x = level.trial(k, lam)
        best.append((cost, k, x))
        best.sort(key=lambda entry: entry[0])
        del best[BEST:]
        return x

    consider(k)
    for _ in range(PASSES):
        for quarters, prune in WALKS:
            _, k, x = best[0]
            for _ in range(WALK_ROUNDS):
                k = level.fit(x, k, quarters, prune)
                x = consider(k)
        consider(clean(sum(k for _, k, _ in best)))
    return best[0][1]


def soften(k: np.ndarray, deviation: float) -> np.ndarray:
    """k blurred by a sampled Gaussian of REACH px on each side; what leaves the square is lost."""
    i = np.arange(-REACH, REACH + 1)
    weight = np.where(i == 0, 1.0, np.exp(-0.5 * i * i / max(deviation**2, 1e-6)))
    for axis in (1, 0):
        k = ndimage.convolve1d(k, weight / weight.sum(), axis, mode="constant")
    return k


def draw(family: str, a: np.ndarray, size: int) -> np.ndarray:
    """Member of a family: "gaussian" of standard deviations exp(a[0]) along and exp(a[1]) across the direction a[2], "disk" of radius exp(a[0]), "motion"
    of length exp(a[0]) in that direction, both softened by a Gaussian of standard deviation a[1]; pixels, radians clockwise from the row direction.
    """
    if family == "disk":
        return psf.normalise(soften(psf.disk(np.exp(a[0]), size), a[1]))
    if family == "motion":
        return psf.normalise(soften(psf.motion(np.exp(a[0]), -np.rad2deg(a[2]), size), a[1]))
    y, x = np.mgrid[:size, :size] - size // 2
    u, v = (np.cos(a[2]) * x + np.sin(a[2]) * y) / np.exp(a[0]), (np.cos(a[2]) * y - np.sin(a[2]) * x) / np.exp(a[1])
    return psf.normalise(np.exp(-0.5 * (u * u + v * v)))


FAMILIES = {  # and the moves of the search
    "gaussian": ((1, 1, 0), (1, -1, 0), (0, 0, 2)),
    "disk": ((1, 0, 0), (0, 2, 0)),
    "motion": ((1, 0, 0), (0, 2, 0), (0, 0, 1)),
}


def moments(k: np.ndarray, family: str) -> np.ndarray:
    """The family's numbers with the second moments of k, not softened."""
    y, x = np.mgrid[:k.shape[0], :k.shape[0]] - k.shape[0] // 2
    k = k / k.sum()
    x, y = x - (k * x).sum(), y - (k * y).sum()
    xx, xy, yy = (k * x * x).sum(), (k * x * y).sum(), (k * y * y).sum()
    mean, apart = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    along = {"gaussian": np.sqrt(mean + apart), "disk": 2 * np.sqrt(mean), "motion": np.sqrt(12 * (mean + apart))}[family]
    across = np.log(max(np.sqrt(max(mean - apart, 0)), LEAST_WIDTH)) if family == "gaussian" else 0
    return np.array([np.log(max(along, LEAST_WIDTH)), across, 0.5 * np.arctan2(2 * xy, xx - yy)])


def fits(family: str, a: np.ndarray, size: int) -> bool:
    """The numbers are of a PSF that has its place in a square of `size`."""
    widest = np.log(size / 2 + 1 if family == "disk" else size + 1)
    second = LEAST < a[1] < widest if family == "gaussian" else 0 <= a[1] <= SOFTEST
    return bool(LEAST < a[0] < widest and second)


def starts_of(family: str, k: np.ndarray) -> list[np.ndarray]:
    """Where the search for a member begins: the moments of k, and a grid."""
    n, first = k.shape[0], moments(k, family)
    if family == "gaussian":
        grid = [(np.log(std), np.log(std), first[2]) for std in GAUSSIANS if 6 * std < n + 4]
    elif family == "disk":
        grid = [(np.log(RADIUS) + i * np.log(RADII), 0, 0) for i in range(64) if RADIUS * RADII**i < n / 2 + 0.5]
    else:
        grid = [(np.log(length), LINE_SOFTNESS, np.pi * i / DIRECTIONS) for length in LENGTHS if length <= n + 1 for i in range(DIRECTIONS)]
    return [first, *map(np.array, grid)]


def fit_family(spectrum: Spectrum, k: np.ndarray, family: str, limit: float) -> tuple[float, np.ndarray]:
    """Least `Spectrum.cost` among the members of a family that have their place in the square of k, and the member. The search for one that costs more than
    `limit` is given up early.
    """
    n, least, found = k.shape[0], np.inf, None

    def improves(a):
        nonlocal least, found
        if not fits(family, a, n):
            return False
        start = spectrum.start
        cost = spectrum.cost(draw(family, a, n), FIT_STEPS)
        if not cost < least + FAR:
            spectrum.start = start  # where the next fit begins
        if not cost < least:
            return False
        least, found = cost, a
        return True

    for a in starts_of(family, k):
        improves(a)
    step = SEARCH
    for search_pass in range(SEARCH_PASSES):
        if search_pass >= HOPE and least >= limit:
            break
        before = least
        for move in FAMILIES[family]:
            any(improves(found + sign * step * np.array(move)) for sign in (1, -1))
        step /= 1 if least < before else 2
    member = draw(family, found, n)
    return spectrum.cost(member, LAST_STEPS), member


def padded(k: np.ndarray, size: int) -> np.ndarray:
    """K (n, n) with zeros around it: (size, size)."""
    return np.pad(k, (size - k.shape[0]) // 2)


@dataclass
class Window:
    """plane: (M, N), what most of the estimate sees; noise: of it; colour: (M, N, 3), it and two weighted chroma planes, or None; variance: of its noise;
    white: its noise is, as far as can be seen.
    """

    plane: np.ndarray
    noise: float
    colour: np.ndarray | None = None
    variance: float = 0.0
    white: bool = False


def load(y: np.ndarray, noise: float | None) -> Window:
    """Planes of y (M, N) or (M, N, 3) with their holes filled; noise: of each channel, measured if None.

    Demosaicing, resizing and coding leave noise that lacks the highest frequencies and chroma that is softer than the PSF. Where neither shows, that is
    where the high-pass with step 2 sees at most OWN_NOISE times the chroma noise that it sees with step 1 (rms of both planes), with sigma_p the noise of
    a plane:

        (R + G + B) / 3,   w (R - B) / sqrt 6,   w (R - 2 G + B) / sqrt 18,   w = max(1 - 4 sigma_p^2 / mean |grad|^2, 0)

    an orthonormal turn over sqrt 3: white noise is the same in all three, and the share of the gradient that is not noise is the weight of a chroma plane.
    Else, and for a grey picture, the luminance.
    """

    def filled(plane):
        return fill_holes(plane[..., None])[0][..., 0]

    if y.ndim == 3:
        r, g, b = np.moveaxis(y, 2, 0)
        chroma = [(r - b) * y.dtype.type(6**-0.5), (r - 2 * g + b) * y.dtype.type(18**-0.5)]
        first, second = (np.sqrt(np.mean([noise_level(plane, step) ** 2 for plane in chroma])) for step in (1, 2))
        if 0 < second <= OWN_NOISE * first:
            mean = (r + g + b) / 3
            own = [noise_level(plane) if noise is None else noise / np.sqrt(3) for plane in (mean, *chroma)]
            planes, variance = [filled(mean)], own[0] ** 2
            for plane, sigma in zip(map(filled, chroma), own[1:]):
                power = sum(np.mean(np.diff(plane, axis=axis) ** 2) for axis in (0, 1))
                weight = max(1 - 4 * sigma**2 / max(power, 1e-30), 0)
                planes.append(plane * y.dtype.type(weight))
                variance += (weight * sigma) ** 2
            colour = np.stack(planes, -1) if any(plane.any() for plane in planes[1:]) else None
            return Window(planes[0], own[0], colour, variance, True)
        y = y @ LUMINANCE.astype(y.dtype)
    return Window(filled(y), noise_level(y) if noise is None else noise)


def is_flat(gray: np.ndarray) -> bool:
    """Nothing to estimate from."""
    return bool(gray.std() <= 1e-6 * np.abs(gray).max())


def begin(gray: np.ndarray, size: int, floor: float, variance: float, size_of=fast_size) -> tuple[list[tuple[Scale, float]], list[Start]]:
    """Scales up to half the resolution, and all starts as far as there, best first; gray is scaled to CONTRAST."""
    scales = schedule(size)
    levels = [(Scale(resize(gray, zoom), n, size_of, variance * zoom**2), zoom) for n, zoom in scales[:max(len(scales) - PRUNED, 1)]]
    half = size // 2 | 1
    starts = [Start(lam, size if divisor == 1 else half) for lam, divisor in STARTS if divisor == 1 or half >= 5]
    for start in starts:
        start.descend(levels, floor)
    return levels, sorted(starts, key=lambda s: levels[-1][0].energy(s.k))


def estimate_size(y: np.ndarray, *, noise: float | None = None, size_of=fast_size) -> int:
    """Odd size that the PSF of the window y needs, 3 to 33: SHARE of the mass of the best start at half the resolution, and MARGIN around it."""
    side = min(y.shape[:2])
    largest = min(33, side - 1 + side % 2)
    window = load(y, noise)
    gray, noise = window.plane, window.noise
    reach = MARGIN
    if not is_flat(gray):
        scale = contrast(gray)
        levels, starts = begin(gray * scale, largest, least(noise, scale), (noise * scale) ** 2, size_of)
        k = starts[0].k
        offset = np.abs(np.arange(k.shape[0]) - k.shape[0] // 2)
        ring = np.maximum(offset[:, None], offset)
        half = 0
        while half < k.shape[0] // 2 and k[ring <= half].sum() < SHARE:
            half += 1
        reach = int(np.ceil(half / levels[-1][1])) + MARGIN
    return min(2 * reach + 1, largest)


def presses(k: np.ndarray) -> bool:
    """More than PRESS of k (n, n) lies in its outermost pixels. Those of a small square reach far inside."""
    return bool(k[1:-1, 1:-1].sum() < (1 - PRESS[min(len(k) // 2, 3) - 1]) * k.sum())


def clipped(y: np.ndarray, saturation: float) -> np.ndarray:
    """(M, N), bool: where a channel of y (M, N) or (M, N, 3) is at or above the saturation."""
    return np.atleast_3d(y >= saturation).any(axis=2)


def leave_out(y: np.ndarray, saturation: float, reach: int) -> np.ndarray:
    """y (M, N) or (M, N, 3), NaN within `reach` of a clipped pixel in rows and columns: where its light can have blurred to."""
    out = y.copy()
    out[ndimage.binary_dilation(clipped(y, saturation), np.ones((2 * reach + 1,) * 2))] = np.nan
    return out


def estimate(y: np.ndarray, size: int, *, saturation: float = 0.0, **rest) -> Estimate:
    """`search` of y; if it has lamps, also without what clipped pixels can have blurred into: the second where it gains a fifth more, on doubt the first.

    Lamps are pixels at or above `saturation` (0: none) that are at most LAMPS of the window. Their light is lost where it is clipped, so no PSF explains
    the streaks they draw; those are the strongest edges of the window, and the search ends at no blur. Larger clipped areas are left as they are: with
    them too much of the window would be lost.
    """
    whole = search(y, size, **rest)
    if not (saturation > 0 and 0 < clipped(y, saturation).mean() <= LAMPS):
        return whole
    without = search(y, size, saturation=saturation, **rest)
    return without if without.gain > MORE * whole.gain and without.confidence >= DOUBT else whole


def no_blur(size: int, per_channel: bool, noise: float, scales: list | tuple = ()) -> Estimate:
    """A delta, the answer on doubt, without confidence."""
    delta = padded(np.ones((1, 1)), size)
    return Estimate(np.stack([delta] * 3, -1) if per_channel else delta, 0.0, noise, list(scales))


def search(
    y: np.ndarray, size: int, *, largest: int = 33, per_channel: bool = False, noise: float | None = None, saturation: float = 0.0, size_of=fast_size
) -> Estimate:
    """PSF of the sample window y (M, N) or (M, N, 3), scene-linear; size odd, 3 to 33; ValueError for anything else.

    The size is what is expected: while the best start presses against its square at half the resolution, it is doubled, up to `largest` and a quarter of
    the window.

    One PSF for all channels, or with `per_channel` one for each channel, refined from the shared one and not centred again (their
    relative shift is kept). Non-finite pixels are filled from their surroundings, with `saturation` also what is within half the size of a clipped one.
    """
    if size % 2 == 0 or not 3 <= size <= 33 or min(y.shape[:2]) < max(size, 16) or not np.isfinite(y).any():
        raise ValueError("size must be odd, 3 to 33, the window at least 16 and the PSF size wide and high, with finite pixels")
    per_channel = per_channel and y.ndim == 3
    given, whole = noise, y
    largest = max(size, min(largest, (min(y.shape[:2]) // ROOM - 1) | 1))
    while True:
        y = leave_out(whole, saturation, size // 2) if saturation > 0 else whole
        window = load(y, given) if np.isfinite(y).mean() >= LEFT or not saturation > 0 else None
        if window is None or is_flat(window.plane):
            return no_blur(size, per_channel, window.noise if window else 0.0)
        gray, noise = window.plane, window.noise
        scale = contrast(gray)
        floor, variance = least(noise, scale), (noise * scale) ** 2
        levels, starts = begin(gray * scale, size, floor, variance, size_of)
        middle, starts = len(levels), starts[:KEEP]
        if size >= largest or len(starts[0].k) < levels[-1][0].n or not presses(starts[0].k):
            break
        size = min(2 * size + 1, largest)
    lam = float(np.clip(floor, *LAM_TRIAL))
    delta = padded(np.ones((1, 1)), size)
    levels += [(Scale(resize(gray * scale, zoom), n, size_of, variance * zoom**2), zoom) for n, zoom in schedule(size)[middle:]]
    finest = levels[-1][0]
    for start in starts:
        start.descend(levels[middle:], floor)
        start.k = padded(start.k, size)
    best, *others = sorted(starts, key=lambda s: finest.energy(s.k))
    last = finest if window.colour is None else Scale(window.colour * gray.dtype.type(scale), size, size_of, window.variance * scale**2)
    k, *_ = last.rounds(best.k, LAM_SETTLE * lam, SETTLE, 1, LAM_SETTLE * lam)
    k = polish(last, k, lam)
    best.log[-1].update(size=size, rounds=ROUNDS + SETTLE + PASSES * len(WALKS) * WALK_ROUNDS)
    k = centred(k)
    spectrum = Spectrum(gray * scale, size, variance, 8 if window.white else SOFT_HIGHEST, size_of)
    unblurred, likely = spectrum.cost(delta, LAST_STEPS), spectrum.cost(k, LAST_STEPS)
    most = min(likely + NEAR, unblurred) if window.white else likely + NEAR
    candidates = [(likely, k, last.energy(k))]
    for family in FAMILIES:
        cost, member = fit_family(spectrum, k, family, most)
        energy = last.energy(member)
        dear = family == "gaussian" and energy > candidates[0][2] + DEARER
        if window.white or (cost < likely - LEAD and psf.radius(member) > SEEN and not dear):
            candidates.append((cost, member, energy))
    candidates = [candidate for candidate in candidates if candidate[0] < most]
    if not candidates:
        return no_blur(size, per_channel, noise, best.log)
    if not window.white:
        candidates.append((unblurred, delta, last.energy(delta)))
    _, best_psf, _ = min(candidates, key=lambda candidate: WHITTLE * candidate[0] + candidate[2])
    gains = [finest.energy(delta) - finest.energy(found) for found in (best_psf, k)]
    if is_sharp(gains[0], psf.radius(best_psf), SOFT if best_psf is k else SOFT_MEMBER) or (not window.white and is_sharp(gains[1], psf.radius(k))):
        return no_blur(size, per_channel, noise, best.log)
    sure = confidence(gains[0], agreement(best_psf, others[0].k), variance)
    if per_channel:
        planes = []
        for channel in np.moveaxis(y, 2, 0):
            own = noise_level(channel) if given is None else given
            channel = fill_holes(channel[..., None])[0][..., 0]
            factor = contrast(channel)
            planes.append(polish(Scale(channel * factor, size, size_of, (own * factor) ** 2), best_psf, lam))
        best_psf = np.stack(planes, -1)
    return Estimate(best_psf, sure, noise, best.log, gains[0])
