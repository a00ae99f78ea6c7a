# SPDX-License-Identifier: GPL-3.0-or-later
"""Every tolerance between pyref (double precision) and the C core (single precision), with its reason.

Errors are the largest difference over the largest expected magnitude, unless a reason says otherwise. Single precision rounds to 6e-8; a transform
of n pixels adds about 6e-8 log2(n) in the mean square, some four times that at the worst pixel: 2e-6 for the sizes of these tests.
"""

TOLERANCES = {
    # transforms and spectra
    "fft forward": (1e-6, "one transform; over the largest coefficient"),
    "fft inverse": (2e-6, "two transforms"),
    "otf": (1e-6, "one transform of at most 127 x 127 values"),
    "otf difference": (2e-7, "rounding of the result"),
    "difference power": (2e-7, "rounding of the result"),
    "convolution": (3e-6, "three transforms and a product"),
    "correlation": (3e-6, "three transforms and a product"),
    "convolution adjoint": (2e-5, "<Kx, y> against <x, K*y>, over |Kx| |y|: a sum of up to 1600 rounded products"),
    # pixel operators
    "colour turn": (3e-7, "three products, coefficients rounded to single precision"),
    "colour turn back": (6e-7, "turned twice"),
    "difference": (3e-7, "at most four additions"),
    "difference adjoint": (6e-7, "an addition more, onto data of the same size"),
    "difference adjointness": (2e-5, "<Dx, y> against <x, D*y>, over |Dx| |y|"),
    "difference square": (2e-6, "18 squares of rounded differences"),
    "curvature": (3e-6, "six products and differences; over the largest sum of their magnitudes, since they cancel"),
    "boundary extend": (3e-7, "two interpolations"),
    "boundary holes": (1e-5, "32 passes of means of eight"),
    "boundary taper": (3e-6, "a pair of transforms"),
    "boundary impute": (3e-7, "one interpolation"),
    "tv shrink u": (2e-6, "square root and division of a sum of six squares, then 1 - s, which cancels for large |v|; over the largest |v|"),
    "tv shrink x": (3e-6, "the same, and its adjoint"),
    # statistics
    "noise": (1e-5, "high-pass values cancel: rounding of y against the noise, here at least 1e-3 of it"),
    "gradient": (1e-4, "the noise is subtracted: a difference of squares"),
    "whiteness": (2e-5, "lanes of single precision in rows of up to 256; absolute, the measure is at most about 10"),
    "halo": (1.0, "pixels, absolute: a ring's energy may fall on either side of the threshold"),
    # PSF
    "psf": (2e-7, "double precision on both sides, rounded once"),
    "psf resample": (2e-7, "double precision on both sides, rounded once"),
    # lamps
    "highlight marks": (0.0, "pixels that comparisons of the same values mark; the thresholds are sums over the PSF, rounded once"),
    "highlight weight": (3e-7, "a mean of 25 zeros and ones"),
    "highlight light": (3e-5, "up to eighty multiplicative steps, each with two pairs of transforms; relative to light of up to thirty times white"),
    "highlight blend": (3e-7, "one interpolation"),
    # refocus
    "refocus kernels": (2e-6, "one transform, over the largest value of any kernel"),
    "refocus constants": (1e-4, "logarithms of energies of kernels in single precision, whose low frequencies nearly vanish"),
    "refocus map": (1e-3, "absolute; neighbours that pull each other amplify a difference between two labels, eight rounds long; measured 2.5e-4"),
    "refocus blend": (2e-5, "a restoration amplifies the rounding of the picture it is given; measured 4e-6"),
    # tiles
    "tile load": (0.0, "a copy"),
    "tile add": (5e-7, "weights of overlapping tiles add to 1"),
    # solvers, over the largest value of the result, at most 12 iterations
    "admm": (1e-5, "a transform pair or two an iteration; measured 1e-6"),
    "mm": (2e-5, "as admm; the renewed weights amplify rounding; measured 2e-6"),
    "pam": (1e-5, "two transform pairs an iteration"),
    "pd": (1e-5, "as admm"),
    "pam blind": (2e-5, "PSF after up to 12 rounds of two gradients, over its peak"),
    "rl": (1e-4, "divides by k * x, which is kept above 0.1 sigma: rounding is amplified where the picture is black; measured 1e-6"),
    "lam": (1e-6, "roots and powers in single precision"),
    "solver scaling": (3e-5, "f(a x) = a f(x) for a power of two: only floors and constants could break it; rl as above"),
    # OpenCL
    "opencl": (2e-5, "whole path against the CPU, six iterations: other transforms and square roots; measured 5e-6"),
    "opencl estimate": (5e-4, "PSF after some thousand iterations, over its peak; rounding may turn a gradient near the threshold; measured 9e-8, once 1.1e-4 with other plans"),
    "opencl tiles": (5e-4, "away from the frame, small tiles against large ones: the halo asked for is a fraction of what the inverse filter reaches"),
    "cl copy": (0.0, "moves values or compares them"),
    "cl pixels": (1e-6, "a few additions and products"),
    "cl holes": (1e-5, "32 passes of means of eight"),
    "cl shrink": (3e-6, "as tv shrink; OpenCL's square root and division may be 3 units in the last place off"),
    "cl spectrum": (1e-6, "products of complex numbers and a division"),
    # stop rules, absolute
    "stop change": (5e-2, "percent of values up to 100; quotient of two norms of a solver's states after up to 120 iterations; measured 9e-3"),
    "stop whiteness": (1e-4, "whiteness of a solver's residual after up to 120 iterations"),
}
