# SPDX-License-Identifier: GPL-3.0-or-later
"""Weights of refocus' evidence: logistic regression with a small network on composites of scikit-image's photographs.

Each composite is a crop of one of the photographs, three in five with parts softened as by a lens out of focus; patches of it are blurred by a PSF of random
kind and size, and noise is added. The features are pyref's, with a PSF known a little wrong and noise often taken for more than it is, as the estimate does in
sharp pictures. Pixels away from the border between blurred and sharp are drawn by how much a restoration would spoil them, or blur has changed them. Writes
pyref/refocus_weights.py and c_src/ops/refocus_weights.h; a quarter of an hour.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import scenes
import scipy.ndimage
import scipy.signal
import skimage.data

import dcv

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from pyref import fft, refocus  # noqa: E402

PICTURES = (
    *("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "motorcycle_right.png", "hubble_deep_field.jpg", "retina.jpg"),
    *("camera.png", "coins.png", "page.png", "text.png", "brick.png", "grass.png", "gravel.png", "moon.png", "ihc.png"),
)
SIDE, BORDER, SAMPLES = 176, 4, 500
HIDDEN = (24, 12)
STEPS, BATCH, RATE, DECAY = 12000, 1024, 0.01, 1e-4


def pictures() -> list[np.ndarray]:
    """Linear light, (M, N, 3), also at half size where they are large enough."""
    import imageio.v3 as iio

    out = []
    for name in PICTURES:
        values = iio.imread(Path(skimage.data.__file__).parent / name)
        a = dcv.from_srgb(np.repeat(values[..., None], 3, axis=2) if values.ndim == 2 else values[..., :3]).astype(float)
        if min(a.shape[:2]) >= SIDE:
            out.append(a)
        if min(a.shape[:2]) >= 2 * SIDE:
            b = a[: a.shape[0] // 2 * 2, : a.shape[1] // 2 * 2]
            out.append((b[::2, ::2] + b[1::2, ::2] + b[::2, 1::2] + b[1::2, 1::2]) / 4)
    return out


def random_psf(rng: np.random.Generator) -> np.ndarray:
    """Gaussian, disk, motion or (two in five) shake."""
    kind = rng.integers(5)
    if kind == 0:
        sigma = rng.uniform(0.8, 4)
        psf = dcv.psf.gaussian(sigma, 2 * int(3.5 * sigma) + 1)
    elif kind == 1:
        psf = dcv.psf.disk(rng.uniform(1.2, 6))
    elif kind == 2:
        psf = dcv.psf.motion(rng.uniform(4, 25), rng.uniform(0, 180))
    else:
        psf = scenes.shake(int(rng.integers(100, 100000)), 2 * int(rng.integers(3, 14)) + 1)
    return softened(np.asarray(psf, float), rng.uniform(0.3, 0.8)) if rng.random() < 0.3 else psf


def softened(psf: np.ndarray, sigma: float) -> np.ndarray:
    """PSF blurred once more, or known a little wrong."""
    soft = scipy.ndimage.gaussian_filter(np.pad(psf, 2), sigma)
    return soft / soft.sum()


def blurred(picture: np.ndarray, psf: np.ndarray) -> np.ndarray:
    """Mirrored at the frame."""
    n = psf.shape[0] // 2
    padded = np.pad(picture, ((n, n), (n, n), (0, 0)), mode="symmetric")
    return scipy.signal.fftconvolve(padded, psf[..., None], "valid", axes=(0, 1))


def restored(picture: np.ndarray, psf: np.ndarray, noise: float) -> np.ndarray:
    """By the linear filter of `refocus.prepare`."""
    margin = 24
    padded = np.pad(picture, ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")
    shape = padded.shape[:2]
    radius2 = np.square(np.fft.fftfreq(shape[0]))[:, None] + np.square(np.fft.rfftfreq(shape[1]))
    transfer = fft.otf(psf, shape)
    inverse = np.conj(transfer) / (np.abs(transfer) ** 2 + noise**2 * (radius2 + 1e-5) / refocus.POWER)
    return fft.inverse(fft.forward(padded) * inverse[..., None], shape)[margin:-margin, margin:-margin]


def defocused(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """By a lens: a Gaussian or a disk of any size."""
    if rng.random() < 0.5:
        sigma = rng.uniform(0.5, 5)
        return scipy.ndimage.gaussian_filter(picture, (sigma, sigma, 0), mode="reflect")
    return blurred(picture, softened(np.asarray(dcv.psf.disk(rng.uniform(1, 9)), float), rng.uniform(0.3, 1.2)))


def patches(rng: np.random.Generator, size: float) -> np.ndarray:
    """Boolean (SIDE, SIDE), about half of it true, in patches of about `size` pixels."""
    field = scipy.ndimage.gaussian_filter(rng.normal(size=(SIDE, SIDE)), size)
    return field > np.quantile(field, rng.uniform(0.35, 0.65))


def composite(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (n, 6, 12), (n, 9) and labels of drawn pixels."""
    rng = np.random.default_rng(seed)
    picture = POOL[rng.integers(len(POOL))]
    top, left = (rng.integers(length - SIDE + 1) for length in picture.shape[:2])
    sharp = picture[top : top + SIDE, left : left + SIDE] * np.exp(rng.uniform(-1, 0.3))
    sharp = sharp[:, :: rng.choice([1, -1])]
    if rng.random() < 0.5:
        sharp = sharp.transpose(1, 0, 2)
    if rng.random() < 0.6:
        sharp = np.where(patches(rng, rng.uniform(10, 40))[..., None], defocused(rng, sharp), sharp)
    psf, sigma, subject = random_psf(rng), np.exp(rng.uniform(np.log(0.001), np.log(0.03))), patches(rng, 22)
    y = np.where(subject[..., None], blurred(sharp, psf), sharp) + sigma * rng.normal(size=sharp.shape)
    noise = sigma * np.exp(abs(rng.normal(0, 0.35)) - 0.05)
    if rng.random() < 0.25:
        psf = softened(psf, rng.uniform(0.3, 0.6))
    oriented, others = refocus.features(y, psf, noise)
    chosen, labels = [], []
    for label, part, change in ((0, ~subject, restored(y, psf, noise) - y), (1, subject, blurred(sharp, psf) - sharp)):
        weight = np.sqrt(np.maximum(scipy.ndimage.uniform_filter(np.square(change).sum(axis=2), 9), 1e-12)).ravel()
        where = np.flatnonzero(scipy.ndimage.binary_erosion(part, iterations=BORDER))
        if len(where):
            p = 0.7 * weight[where] / weight[where].sum() + 0.3 / len(where)
            chosen.append(rng.choice(where, SAMPLES // 2, p=p))
            labels.append(np.full(SAMPLES // 2, label))
    index = np.concatenate(chosen)
    return oriented.reshape(-1, *oriented.shape[2:])[index].astype(np.float32), others.reshape(-1, 9)[index].astype(np.float32), np.concatenate(labels)


POOL = pictures()


def initial(rng: np.random.Generator) -> list[np.ndarray]:
    """W1, b1, W2, W4, b2, w3, b3 as in pyref.refocus."""
    a, b = HIDDEN
    shapes = ((12, a), None), (None, a), ((a, b), None), ((9, b), None), (None, b), ((b,), None), (None, 1)
    return [np.zeros(zeros) if shape is None else rng.normal(size=shape) / shape[0] ** 0.5 for shape, zeros in shapes]


def gradients(weights: list[np.ndarray], x: np.ndarray, m: np.ndarray, label: np.ndarray) -> tuple[list[np.ndarray], float]:
    """Of the mean logistic loss, and the loss."""
    w1, b1, w2, w4, b2, w3, b3 = weights
    a = refocus.phi(x @ w1 + b1)
    z = a.sum(axis=1)
    h = refocus.phi(z @ w2 + m @ w4 + b2)
    p = 1 / (1 + np.exp(-(h @ w3 + b3)))
    d = (p - label) / len(label)
    dh = np.outer(d, w3) * (1 - np.abs(h)) ** 2
    da = (dh @ w2.T)[:, None, :] * (1 - np.abs(a)) ** 2
    out = [np.tensordot(x, da, ((0, 1), (0, 1))), da.sum(axis=(0, 1)), z.T @ dh, m.T @ dh, dh.sum(axis=0), h.T @ d, np.array([d.sum()])]
    return out, float(-np.mean(np.log(np.where(label == 1, p, 1 - p) + 1e-9)))


def train(x: np.ndarray, m: np.ndarray, label: np.ndarray) -> list[np.ndarray]:
    """Adam (Kingma and Ba, 2015), the rate falling as a cosine."""
    rng = np.random.default_rng(0)
    weights = initial(rng)
    first, second, losses = [0 * w for w in weights], [0 * w for w in weights], []
    for t in range(1, STEPS + 1):
        batch = rng.integers(len(x), size=BATCH)
        slopes, loss = gradients(weights, x[batch], m[batch], label[batch])
        losses.append(loss)
        rate = RATE * 0.5 * (1 + np.cos(np.pi * t / STEPS))
        for i, slope in enumerate(slopes):
            slope = slope + DECAY * weights[i]
            first[i], second[i] = 0.9 * first[i] + 0.1 * slope, 0.999 * second[i] + 0.001 * slope**2
            weights[i] = weights[i] - rate * first[i] / (1 - 0.9**t) / (np.sqrt(second[i] / (1 - 0.999**t)) + 1e-8)
    print(f"loss {np.mean(losses[-500:]):.4f}, {len(x)} pixels")
    return weights


def write(weights: list[np.ndarray]) -> None:
    """Four decimals."""
    names = ("W1", "B1", "W2", "W4", "B2", "W3", "B3")
    origin = "of the network in refocus, made by tools/train_refocus.py: for every array a row per input"
    python = [f'"""Weights {origin}."""', "import numpy as np", ""]
    header = [
        f"/* SPDX-License-Identifier: GPL-3.0-or-later\n *\n * Weights {origin}.\n */",
        "#ifndef DCV_REFOCUS_WEIGHTS_H",
        "#define DCV_REFOCUS_WEIGHTS_H",
        "",
    ]
    for name, values in zip(names, weights, strict=True):
        rows = [[f"{v:.4f}" for v in row] for row in np.atleast_2d(values)]
        lines = [", ".join(row[i : i + 12]) for row in rows for i in range(0, len(row), 12)]
        python += [f"{name} = np.array(["] + [f"    {line}," for line in lines] + [f"]).reshape({values.shape})"]
        size = "".join(f"[{n}]" for n in values.shape) if values.ndim == 1 else f"[{values.size}]"
        header += [f"static const float {name}{size} = {{"] + [f"  {', '.join(v + 'f' for v in line.split(', '))}," for line in lines] + ["};"]
    (ROOT / "pyref/refocus_weights.py").write_text("\n".join([*python, f"WEIGHTS = ({', '.join(names)})"]) + "\n")
    (ROOT / "c_src/ops/refocus_weights.h").write_text("\n".join([*header, "", "#endif"]) + "\n")


def main() -> None:
    """Composites, training, and the two files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--composites", type=int, default=2000)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    with ProcessPoolExecutor(arguments.processes) as pool:
        x, m, label = (np.concatenate(part) for part in zip(*pool.map(composite, range(arguments.composites), chunksize=20), strict=True))
    write(train(x, m, label))


if __name__ == "__main__":
    main()
